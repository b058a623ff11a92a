"""Jobs and sweeps: lists, pages, why, logs, and what people may do to them."""

import codecs
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from batch.agent.messages import MAX_LOG_CHUNK_BYTES
from batch.controller.agent_desk import log_request
from batch.controller.api_models import (
    CancelBody,
    Cap,
    ChangeBody,
    Changer,
    EmptyBody,
    JobPage,
    JobRow,
    Natural,
    Offset,
    Reader,
    ServiceOf,
    Whole,
)
from batch.controller.service import Service
from batch.controller.views import attempt_row, event_object, job_page, job_row, sweep_page
from batch.errors import BadRequestError, NotFoundError
from batch.job_queue import Queue
from batch.model import Tier
from batch.records import Job, JobFilter
from batch.scheduler import why
from batch.states import JobState
from batch.transitions import WAITING

router = APIRouter(tags=["jobs"])

_States = Annotated[list[str] | None, Query(alias="state", description="repeat for several")]
_Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/jobs", responses={200: {"model": list[JobRow]}})
def list_jobs(  # noqa: PLR0913 - the filters of one query
    service: ServiceOf,
    _: Reader,
    state: _States = None,
    team: str | None = None,
    user: str | None = None,
    name: str | None = None,
    tier: Tier | None = None,
    sweep: str | None = None,
    members: bool = False,
    limit: _Limit = 100,
) -> JSONResponse:
    """List jobs, newest first; without `sweep` or `members` the sweeps stand for their members."""
    where = JobFilter(
        states=_states(state),
        team=team,
        user=user,
        name=name,
        tier=tier,
        sweep=None if sweep is None else service.queue.resolve(sweep),
        members=members,
        limit=limit,
    )
    found = {"jobs": [job_row(job) for job in service.queue.jobs(where)], "sweeps": []}
    if sweep is None and not members:
        found["sweeps"] = [sweep_page(each) for each in service.queue.sweeps(where)]
    return JSONResponse(found)


@router.get("/jobs/{job}", responses={200: {"model": JobPage}})
def get_job(job: str, service: ServiceOf, _: Reader) -> JSONResponse:
    """Return one job. `job`: id, abbreviation, name, or SWEEP.INDEX."""
    uid = service.queue.resolve(job)
    return JSONResponse(job_page(service.queue.job(uid), service.queue.attempts(uid)))


@router.get("/sweeps/{sweep}")
def get_sweep(sweep: str, service: ServiceOf, _: Reader) -> JSONResponse:
    """Return one sweep with the number of its members in each state."""
    return JSONResponse(sweep_page(service.queue.sweep(service.queue.resolve(sweep))))


@router.get("/jobs/{job}/why")
def get_why(job: str, service: ServiceOf, _: Reader) -> JSONResponse:
    """Return why a job waits: the binding constraint in numbers, its place, who is ahead, what would start now.

    Of a sweep: the first of its members that waits, or else the first.
    """
    found = _job_or_member(service.queue, service.queue.resolve(job))
    answer: dict[str, Any] = {"id": found.id, "uid": found.uid, "state": found.state.text}
    if not found.state.is_placed and not found.state.is_terminal:
        with suppress(NotFoundError):  # it has ended meanwhile
            said = service.scheduling.ask(lambda state, now_s: why(state, found.uid, now_s))
            ahead = [service.queue.job(uid).id for uid in said.ahead]
            return JSONResponse({**answer, "why": {**asdict(said), "ahead": ahead}})
        found = service.queue.job(found.uid)
    return JSONResponse({**answer, "state": found.state.text, "job": job_row(found)})


@router.get("/jobs/{job}/events")
def get_events(job: str, service: ServiceOf, _: Reader, after: Whole = 0, limit: _Limit = 1000) -> JSONResponse:
    """Return what has happened to a job, oldest first."""
    uid = service.queue.resolve(job)
    rows = service.queue.events(after, limit, uid=uid)
    return JSONResponse({"events": [event_object(seq, event) for seq, event in rows]})


@router.get("/jobs/{job}/attempts")
def get_attempts(job: str, service: ServiceOf, _: Reader) -> JSONResponse:
    """Return the attempts of a job, oldest first."""
    attempts = service.queue.attempts(service.queue.resolve(job))
    return JSONResponse({"attempts": [attempt_row(one) for one in attempts]})


@router.get("/jobs/{job}/logs")
async def get_log(
    job: str,
    service: ServiceOf,
    who: Reader,
    rank: Annotated[Cap, Query(description="-1: what drives the ranks")] = 0,
    offset: Offset = 0,
    attempt: Natural | None = None,
) -> JSONResponse:
    """Return a piece of one rank's log, from its agent. A negative offset counts from the end, in bytes."""
    found = service.queue.job(service.queue.resolve(job))
    who.check_team(found.spec.team)
    last = found.spec.shape.nodes - 1
    if found.spec.kind == "command" and rank > last:
        raise BadRequestError(f"job {found.id} has no rank {rank}: it has {f'the ranks 0 to {last}' if last else '0'}")
    if found.attempt == 0:
        over = found.state.is_terminal
        return JSONResponse({"text": "", "next_offset": 0, "size_bytes": None, "is_over": over})
    tried = {one.attempt: one.pool for one in service.queue.attempts(found.uid)}
    number = attempt or found.attempt
    if number not in tried:
        raise NotFoundError(f"job {found.id} has no attempt {number}; it has {', '.join(map(str, tried))}")
    chunk = await service.desk.read_log(
        tried[number], log_request(found.uid, number, rank, offset, MAX_LOG_CHUNK_BYTES)
    )
    at_end = chunk.size_bytes is None or chunk.offset + len(chunk.data) >= chunk.size_bytes
    text, used = _whole_characters(chunk.data, keep=at_end and chunk.is_over)
    return JSONResponse(
        {
            "text": text,
            "next_offset": chunk.offset + used,
            "size_bytes": chunk.size_bytes,
            "is_over": chunk.is_over and at_end and (attempt is not None or found.state.is_terminal),
            "attempt": number,
        }
    )


@router.post("/jobs/{job}/cancel", responses={200: {"model": JobPage}})
def cancel(job: str, service: ServiceOf, who: Changer, body: CancelBody | None = None) -> JSONResponse:
    """End a job: what runs is asked to save first, unless `now`. Of a sweep: its members."""
    return _act(service, who, job, lambda uid: service.queue.cancel(uid, now=body is not None and body.now))


@router.post("/jobs/{job}/hold", responses={200: {"model": JobPage}})
def hold(job: str, service: ServiceOf, who: Changer, _: EmptyBody | None = None) -> JSONResponse:
    """Let a job not start; what runs saves, stops and waits."""
    return _act(service, who, job, service.queue.hold)


@router.post("/jobs/{job}/release", responses={200: {"model": JobPage}})
def release(job: str, service: ServiceOf, who: Changer, _: EmptyBody | None = None) -> JSONResponse:
    """End a hold."""
    return _act(service, who, job, service.queue.release)


@router.post("/jobs/{job}/requeue", responses={200: {"model": JobPage}})
def requeue(job: str, service: ServiceOf, who: Changer, _: EmptyBody | None = None) -> JSONResponse:
    """Let what is over run again; what runs saves, stops and queues."""
    return _act(service, who, job, service.queue.requeue)


@router.post("/jobs/{job}/set", responses={200: {"model": JobPage}})
def set_job(job: str, service: ServiceOf, who: Changer, body: ChangeBody) -> JSONResponse:
    """Change tier, time limit, deadline, or a sweep's members running at once."""
    if not body.model_fields_set:
        raise BadRequestError("nothing to set: give tier, time_limit_s, deadline_s or max_running")
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    if body.tier is not None:
        changes["tier"] = Tier(body.tier)
    return _act(service, who, job, lambda uid: service.queue.change(uid, **changes))


def _act(service: Service, who: Changer, text: str, verb: Callable[[int], object]) -> JSONResponse:
    uid = service.queue.resolve(text)
    job = service.owned(who, uid)
    verb(uid)
    if job is None:
        return JSONResponse(sweep_page(service.queue.sweep(uid)))
    return JSONResponse(job_page(service.queue.job(uid), service.queue.attempts(uid)))


def _job_or_member(queue: Queue, uid: int) -> Job:
    try:
        return queue.job(uid)
    except NotFoundError:
        first_uid = queue.sweep(uid).first_uid
        waiting = queue.jobs(JobFilter(sweep=uid, states=WAITING, newest=False, limit=1))
        return waiting[0] if waiting else queue.job(first_uid)


def _states(names: list[str] | None) -> frozenset[JobState]:
    try:
        return frozenset(JobState.of(name) for name in names or ())
    except KeyError as error:
        known = ", ".join(state.text for state in JobState)
        raise BadRequestError(f"state = {error.args[0]!r}: must be one of {known}") from None


def _whole_characters(data: bytes, *, keep: bool) -> tuple[str, int]:
    """Return the text of `data` and how many bytes it is: a character that is cut off at the end waits for the rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=keep)
    return text, len(data) - len(decoder.getstate()[0])
