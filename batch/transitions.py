"""What an event does to a job. Pure: the job before and the event give the job after, or an error.

The store applies this before it writes. The table of moves (states.py) says which states may follow which; here stands
what else must hold: that an agent speaks of the attempt that is placed, that fences grow, that no gang is placed in
part, and that a job which was asked to stop goes where the asker wanted.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from batch.errors import BadRequestError, ConflictError, IllegalMoveError, StaleFenceError
from batch.events import (
    JobAdopted,
    JobChanged,
    JobCheckpointed,
    JobEnded,
    JobEvent,
    JobHeld,
    JobPlaced,
    JobReleased,
    JobRequeued,
    JobStarted,
    JobStopped,
    JobStopping,
    JobUnknown,
)
from batch.records import Attempt, Job
from batch.states import JobState, move

WAITING = frozenset({JobState.HELD, JobState.BLOCKED, JobState.QUEUED})
STOP_GOALS = ("queued", "held", "cancelled")


def after(job: Job, event: JobEvent, *, blocked: bool = False) -> Job:
    """Return `job` after `event`; `blocked` says whether a dependency is not met.

    Raises IllegalMoveError, or StaleFenceError when the event is about an attempt that is over.
    """
    return _RULES[type(event)](job, event, blocked)


def attempt_of(job: Job) -> Attempt | None:
    """Return the last attempt of `job`, as the job knows it; None when it never had a place."""
    if not job.attempt or job.placed_s is None:
        return None
    return Attempt(
        uid=job.uid,
        attempt=job.attempt,
        fence=job.fence,
        pool=job.pool,
        nodes=job.nodes,
        placed_s=job.placed_s,
        started_s=job.started_s,
        saved_s=job.saved_s,
        step=job.step,
        ended_s=job.ended_s,
        outcome="" if job.state.is_placed else job.state.text,
        exit_code=job.exit_code,
        cause=job.cause,
        message=job.message,
        metrics=job.metrics,
    )


def _to(job: Job, state: JobState, event: JobEvent, **changes: Any) -> Job:
    try:
        move(job.state, state)
    except IllegalMoveError as error:
        raise IllegalMoveError(f"job {job.id}: {type(event).__name__}: {error}") from None
    return replace(job, state=state, changed_s=event.time_s, **changes)


def _refuse(job: Job, event: JobEvent, reason: str) -> IllegalMoveError:
    return IllegalMoveError(f"job {job.id}: {type(event).__name__} while {job.state.text}: {reason}")


def _check_attempt(job: Job, event: Any) -> None:
    """Raise unless the event is about the attempt that has a place now."""
    if not job.state.is_placed:
        raise StaleFenceError(
            f"job {job.id}: {type(event).__name__} of attempt {event.attempt}: no attempt of it is placed, "
            f"it is {job.state.text}; drop what is left of attempt {event.attempt}"
        )
    if event.attempt != job.attempt:
        raise StaleFenceError(
            f"job {job.id}: {type(event).__name__} of attempt {event.attempt}: attempt {job.attempt} is the one that "
            f"is placed; drop what is left of attempt {event.attempt}"
        )


def _held(job: Job, event: JobEvent, _: bool) -> Job:
    if job.state not in WAITING:
        raise _refuse(job, event, "only what waits can be held; ask it to stop, and to be held then")
    return _to(job, JobState.HELD, event)


def _released(job: Job, event: JobEvent, blocked: bool) -> Job:
    if job.state is not JobState.HELD:
        raise _refuse(job, event, "only what is held can be released")
    return _to(job, JobState.BLOCKED if blocked else JobState.QUEUED, event)


def _changed(job: Job, event: JobChanged, _: bool) -> Job:
    if job.state.is_terminal:
        raise _refuse(job, event, "it is over; requeue it first")
    if event.max_running is not None and job.sweep is None:
        raise BadRequestError(f"job {job.id}: max_running = {event.max_running}: only a sweep has that limit")
    names = ("tier", "time_limit_s", "deadline_s")
    changes = {name: value for name in names if (value := getattr(event, name)) is not None}
    return replace(job, spec=replace(job.spec, **changes)) if changes else job


def _placed(job: Job, event: JobPlaced, _: bool) -> Job:
    if job.state is not JobState.QUEUED:
        raise _refuse(job, event, "only what is queued can be placed")
    if event.attempt != job.attempt + 1:
        raise ConflictError(f"job {job.id}: attempt {event.attempt} is placed: must be {job.attempt + 1}")
    if event.fence <= job.fence:
        raise StaleFenceError(f"job {job.id}: fence {event.fence} of a placement: must be above {job.fence}")
    if len(event.nodes) != job.spec.shape.nodes:
        needed = job.spec.shape.nodes
        raise ConflictError(f"job {job.id}: placed on {len(event.nodes)} nodes: must be all {needed} or none")
    return _to(
        job,
        JobState.LAUNCHING,
        event,
        attempt=event.attempt,
        fence=event.fence,
        pool=event.pool,
        nodes=event.nodes,
        placed_s=event.time_s,
        **_NOT_ENDED,
        started_s=None,
    )


def _started(job: Job, event: JobStarted, _: bool) -> Job:
    _check_attempt(job, event)
    if job.state is not JobState.LAUNCHING:
        raise _refuse(job, event, "only what is launching starts")
    return _to(job, JobState.RUNNING, event, started_s=event.time_s)


def _checkpointed(job: Job, event: JobCheckpointed, _: bool) -> Job:
    _check_attempt(job, event)
    if job.saved_s is not None and event.saved_s < job.saved_s:
        return job  # reports may overtake one another; the newest counts
    return replace(job, saved_s=event.saved_s, step=job.step if event.step is None else event.step)


def _stopping(job: Job, event: JobStopping, _: bool) -> Job:
    _check_attempt(job, event)
    if event.then not in STOP_GOALS:
        raise _refuse(job, event, f"then = {event.then!r} must be one of {', '.join(STOP_GOALS)}")
    if job.then == "cancelled" != event.then:
        raise _refuse(job, event, "it is to be cancelled, which cannot be taken back; requeue it when it is over")
    asked: dict[str, Any] = {"then": event.then, "stop_now": job.stop_now or event.now}
    if job.state is JobState.STOPPING:
        return replace(job, **asked)
    return _to(job, JobState.STOPPING, event, **asked)


def _unknown(job: Job, event: JobUnknown, _: bool) -> Job:
    _check_attempt(job, event)
    return _to(job, JobState.UNKNOWN, event)


def _adopted(job: Job, event: JobAdopted, _: bool) -> Job:
    _check_attempt(job, event)
    if job.state is not JobState.UNKNOWN:
        raise _refuse(job, event, "only what was unknown is adopted")
    return _to(job, JobState.STOPPING if job.then else JobState.RUNNING, event)


def _stopped(job: Job, event: JobStopped, _: bool) -> Job:
    _check_attempt(job, event)
    if event.then not in {"queued", "held"}:
        raise _refuse(job, event, f"then = {event.then!r} must be queued or held")
    if job.then and event.then != job.then:
        raise _refuse(job, event, f"goes to {event.then}, but it was asked to be {job.then} then")
    return _to(
        job,
        JobState.of(event.then),
        event,
        **_NOT_ASKED,
        eligible_s=event.eligible_s,
        ended_s=event.time_s,
        exit_code=None,
        cause=event.cause,
        message=event.message,
        metrics=(),
    )


def _ended(job: Job, event: JobEnded, _: bool) -> Job:
    if job.state not in WAITING:
        _check_attempt(job, event)
    elif event.attempt:
        raise StaleFenceError(f"job {job.id}: end of attempt {event.attempt}, which is over; it is {job.state.text}")
    state = JobState.of(event.state) if event.state in _ENDS else None
    if state is None:
        raise _refuse(job, event, f"state = {event.state!r} must be one of {', '.join(_ENDS)}")
    return _to(
        job,
        state,
        event,
        **_NOT_ASKED,
        ended_s=event.time_s,
        exit_code=event.exit_code,
        cause=event.cause,
        message=event.message,
        metrics=event.metrics,
    )


def _requeued(job: Job, event: JobRequeued, blocked: bool) -> Job:
    if not job.state.is_terminal:
        raise _refuse(job, event, "only what is over can be requeued")
    state = JobState.BLOCKED if blocked else JobState.QUEUED
    return _to(job, state, event, eligible_s=0.0, **_NOT_ENDED)


_ENDS = tuple(state.text for state in JobState if state.is_terminal)
_NOT_ASKED: dict[str, Any] = {"then": "", "stop_now": False}
_NOT_ENDED: dict[str, Any] = {"ended_s": None, "exit_code": None, "cause": None, "message": "", "metrics": ()}
_RULES: dict[type[JobEvent], Callable[[Job, Any, bool], Job]] = {
    JobHeld: _held,
    JobReleased: _released,
    JobChanged: _changed,
    JobPlaced: _placed,
    JobStarted: _started,
    JobCheckpointed: _checkpointed,
    JobStopping: _stopping,
    JobUnknown: _unknown,
    JobAdopted: _adopted,
    JobStopped: _stopped,
    JobEnded: _ended,
    JobRequeued: _requeued,
}
