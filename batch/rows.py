"""Jobs, sweeps and specifications as rows of the tables, and back. Pure.

A job's specification is kept in three columns: its name, the payload, which only its launcher reads, and the rest,
which is alike for many jobs and is therefore parsed once for all of them. What may be changed later has columns of its
own, which win.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from batch.errors import BatchQueueError, StoreError
from batch.journal import dumps
from batch.json_values import from_json, to_json
from batch.model import Cause, JobSpec, SweepSpec, Team, Tier
from batch.records import Attempt, Job, Token
from batch.states import JobState

Row = Mapping[Any, Any]
T = TypeVar("T")
STRICT_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
STANDING = (
    "tier", "time_limit_s", "deadline_s", "state", "changed_s", "stop_then", "stop_now", "eligible_s", "attempt",
    "fence", "pool", "nodes", "placed_s", "started_s", "saved_s", "step", "ended_s", "exit_code", "cause", "message",
    "metrics",
)  # fmt: skip
"""The columns of `jobs` that change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A sweep as its row says: `state`, `changed_s` and `message` are of the members that have no row of their own."""

    uid: int
    first_uid: int
    count: int
    spec: SweepSpec
    submitted_s: float
    state: JobState
    changed_s: float
    message: str = ""

    def untouched(self, uid: int) -> Job:
        """Return the member with `uid` as it stands while nothing has happened to it alone."""
        return Job(
            uid=uid,
            spec=self.spec.template,
            state=self.state,
            submitted_s=self.submitted_s,
            changed_s=self.changed_s,
            sweep=self.uid,
            index=uid - self.first_uid,
            overrides=self.spec.overrides(uid - self.first_uid),
            ended_s=self.changed_s if self.state.is_terminal else None,
            message=self.message,
        )


def spec_texts(spec: JobSpec) -> tuple[str, str]:
    """Return what the columns `spec` and `payload` hold. Raises TypeError or ValueError when it is not JSON."""
    document = to_json(spec)
    payload = document.pop("payload")
    document.pop("name", None)
    return STRICT_JSON.encode(document), STRICT_JSON.encode(payload)


@lru_cache(maxsize=8192)
def shared_spec(text: str) -> JobSpec:
    """Return what the column `spec` says: a specification without name and payload. Raises StoreError."""
    return _read(JobSpec, {"payload": {}} | _loads(text, "a job's spec"), "a job's spec")


@lru_cache(maxsize=256)
def sweep_spec(text: str) -> SweepSpec:
    """Return what the column `spec` of a sweep says. Raises StoreError."""
    return _read(SweepSpec, _loads(text, "a sweep's spec"), "a sweep's spec")


def job_spec(row: Row) -> JobSpec:
    """Return the specification of a job that is no member, with its payload and what was changed."""
    return with_changes(submitted_spec(row), row)


def with_changes(spec: JobSpec, row: Row) -> JobSpec:
    """Return `spec` with what the columns of a job or a sweep say now."""
    current = (row["tier"], row["time_limit_s"], row["deadline_s"])
    if current == (spec.tier.value, spec.time_limit_s, spec.deadline_s):
        return spec
    return replace(spec, tier=Tier(current[0]), time_limit_s=current[1], deadline_s=current[2])


def job_of(row: Row, sweep: SweepRow | None = None) -> Job:
    """Return the job of a row; `sweep` is that of a member."""
    index = None if sweep is None else row["uid"] - sweep.first_uid
    return Job(
        uid=row["uid"],
        spec=job_spec(row) if sweep is None else with_changes(sweep.spec.template, row),
        state=JobState.of(row["state"]),
        submitted_s=row["submitted_s"],
        changed_s=row["changed_s"],
        sweep=row["sweep"],
        index=index,
        overrides=() if sweep is None or index is None else sweep.spec.overrides(index),
        then=row["stop_then"],
        stop_now=row["stop_now"],
        eligible_s=row["eligible_s"],
        started_s=row["started_s"],
        placed_s=row["placed_s"],
        **_attempt_fields(row),
    )


def standing_of(job: Job) -> dict[str, Any]:
    """Return the columns of `jobs` that change, as `job` has them."""
    return {
        "tier": job.spec.tier.value,
        "time_limit_s": job.spec.time_limit_s,
        "deadline_s": job.spec.deadline_s,
        "state": job.state.text,
        "changed_s": job.changed_s,
        "stop_then": job.then,
        "stop_now": job.stop_now,
        "eligible_s": job.eligible_s,
        "attempt": job.attempt,
        "fence": job.fence,
        "pool": job.pool,
        "nodes": dumps(job.nodes),
        "placed_s": job.placed_s,
        "started_s": job.started_s,
        "saved_s": job.saved_s,
        "step": job.step,
        "ended_s": job.ended_s,
        "exit_code": job.exit_code,
        "cause": job.cause and job.cause.value,
        "message": job.message,
        "metrics": dumps(job.metrics),
    }


def member_row(job: Job) -> dict[str, Any]:
    """Return the row of a member to which something has happened for the first time."""
    spec = job.spec
    fixed = {"uid": job.uid, "code": None, "sweep": job.sweep, "spec": "", "payload": ""}
    said = {"team": spec.team, "user": spec.user, "name": spec.name, "submitted_s": job.submitted_s}
    return fixed | said | standing_of(job)


def sweep_of(row: Row) -> SweepRow:
    """Return the sweep of a row."""
    spec = sweep_spec(row["spec"])
    changed = with_changes(spec.template, row)
    if changed is not spec.template or row["max_running"] != spec.max_running:
        spec = replace(spec, template=changed, max_running=row["max_running"])
    return SweepRow(
        uid=row["uid"],
        first_uid=row["first_uid"],
        count=row["count"],
        spec=spec,
        submitted_s=row["submitted_s"],
        state=JobState.of(row["state"]),
        changed_s=row["changed_s"],
        message=row["message"],
    )


def sweep_standing(sweep: SweepRow) -> dict[str, Any]:
    """Return the columns of `sweeps` that change."""
    template = sweep.spec.template
    return {
        "tier": template.tier.value,
        "time_limit_s": template.time_limit_s,
        "deadline_s": template.deadline_s,
        "max_running": sweep.spec.max_running,
        "state": sweep.state.text,
        "changed_s": sweep.changed_s,
        "message": sweep.message,
    }


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """Return the row of an attempt that is over."""
    names = ("uid", "attempt", "fence", "pool", "placed_s", "started_s", "saved_s", "step", "ended_s", "outcome")
    row = {name: getattr(attempt, name) for name in (*names, "exit_code", "message")}
    cause = attempt.cause and attempt.cause.value
    return row | {"nodes": dumps(attempt.nodes), "cause": cause, "metrics": dumps(attempt.metrics)}


def attempt_of_row(row: Row) -> Attempt:
    """Return the attempt of a row."""
    return Attempt(
        uid=row["uid"],
        placed_s=row["placed_s"],
        started_s=row["started_s"],
        outcome=row["outcome"],
        **_attempt_fields(row),
    )


def document_of(value: Any) -> str:
    """Return a team or a pool as the column `document` holds it."""
    return dumps(to_json(value))


def from_document(cls: type[T], text: str) -> T:
    """Return the team or the pool of a column `document`. Raises StoreError."""
    where = "a team" if cls is Team else "a pool"
    return _read(cls, _loads(text, where), where)


def token_of(row: Row) -> Token:
    """Return the token of a row."""
    return Token(**row)


def _attempt_fields(row: Row) -> dict[str, Any]:
    names = ("attempt", "fence", "pool", "saved_s", "step", "ended_s", "exit_code", "message")
    return {name: row[name] for name in names} | {
        "nodes": tuple(_loads(row["nodes"], "nodes")) if row["nodes"] else (),
        "cause": Cause(row["cause"]) if row["cause"] else None,
        "metrics": tuple((key, value) for key, value in json.loads(row["metrics"])) if row["metrics"] else (),
    }


def _loads(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreError(f"{where}: is not JSON ({error}): restore the database from a copy") from error


def submitted_spec(row: Row) -> JobSpec:
    """Return the specification of a job that is no member, as it was submitted."""
    payload = _loads(row["payload"], f"job {row['uid']}: payload")
    return replace(shared_spec(row["spec"]), payload=payload, name=row["name"])


def _read(cls: type[T], document: Any, where: str) -> T:
    try:
        return from_json(cls, document, where)
    except BatchQueueError as error:
        raise StoreError(f"{error}: a newer version wrote it, or it is damaged") from error
