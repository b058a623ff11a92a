"""What people, the scheduler and the controller ask of jobs, as events: computed from how things stand, and recorded.

Called within the writer's transaction, so that nothing changes between the look and the deed. Of a sweep, `hold` and
`change` are about the members that wait, `cancel` about all that are not over, `requeue` about those that failed or
were cancelled.
"""

from collections.abc import Mapping
from typing import Any

from batch import ids
from batch.errors import BadRequestError, ConflictError
from batch.events import Event, JobChanged, JobEnded, JobHeld, JobPlaced, JobReleased, JobRequeued, JobStopping
from batch.ledger import Ledger
from batch.recording import record
from batch.records import Job
from batch.states import JobState
from batch.transitions import WAITING

_PLACED = frozenset(state for state in JobState if state.is_placed)
_ENDED = frozenset(state for state in JobState if state.is_terminal)


_FENCES_PER_S = 1_000_000


def place(ledger: Ledger, uid: int, place: Mapping[str, Any]) -> JobPlaced:
    """Place a job, with the next attempt and a fence above all before; `place` are the fields that say where.

    A fence is the time in microseconds, so that it is also above those of placements that a database which was restored
    from an older copy knows nothing of.
    """
    job = ledger.job(uid)
    fence = max(job.fence + 1, int(ledger.now_s * _FENCES_PER_S))
    event = JobPlaced(time_s=ledger.now_s, uid=uid, attempt=job.attempt + 1, fence=fence, **place)
    record(ledger, [event])
    return event


def stop(ledger: Ledger, uid: int, asked: Mapping[str, Any]) -> JobStopping:
    """Ask the current attempt to stop; `asked` are the fields of the event that say how."""
    event = JobStopping(time_s=ledger.now_s, uid=uid, attempt=ledger.job(uid).attempt, **asked)
    record(ledger, [event])
    return event


def hold(ledger: Ledger, uid: int) -> list[Event]:
    """Hold what waits; a single job that has a place stops and is held then."""
    held = JobHeld(time_s=ledger.now_s, uid=uid)
    if ledger.is_sweep(uid):
        return _if_any(ledger, uid, WAITING - {JobState.HELD}, [held], "no member of it waits without being held")
    job = ledger.job(uid)
    if job.state in WAITING and job.state is not JobState.HELD:
        return record(ledger, [held])
    if not job.state.is_placed or job.then == "held":
        raise _conflict(job, "held", "only what waits or runs can be held")
    return record(ledger, [_stopping(ledger, job, "held")])


def release(ledger: Ledger, uid: int) -> list[Event]:
    """End a hold, also one that is only going to be."""
    released = JobReleased(time_s=ledger.now_s, uid=uid)
    if ledger.is_sweep(uid):
        return _if_any(ledger, uid, frozenset({JobState.HELD}), [released], "no member of it is held")
    job = ledger.job(uid)
    if job.state is JobState.HELD:
        return record(ledger, [released])
    if not job.state.is_placed or job.then != "held":
        raise _conflict(job, "released", "only what is held can be")
    return record(ledger, [_stopping(ledger, job, "queued")])


def cancel(ledger: Ledger, uid: int, now: bool) -> list[Event]:
    """End what waits, and let what has a place save and end; `now`: end without saving."""
    if ledger.is_sweep(uid):
        return _cancel_members(ledger, uid, now)
    job = ledger.job(uid)
    event = _cancelled(ledger, job, now)
    if event is None:
        raise _conflict(job, "cancelled", "it is over" if job.state.is_terminal else "that was asked before")
    return record(ledger, [event])


def requeue(ledger: Ledger, uid: int) -> list[Event]:
    """Let what is over run again; a single job that has a place stops and is queued then."""
    if ledger.is_sweep(uid):
        return _requeue_members(ledger, uid)
    job = ledger.job(uid)
    if job.state.is_terminal:
        return record(ledger, [JobRequeued(time_s=ledger.now_s, uid=uid)])
    if not job.state.is_placed:
        raise _conflict(job, "requeued", "it waits already")
    return record(ledger, [_stopping(ledger, job, "queued")])


def change(ledger: Ledger, uid: int, given: Mapping[str, Any]) -> list[Event]:
    """Set the fields of JobChanged that are given."""
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise BadRequestError(f"nothing to change: give one of {', '.join(given)}")
    for name in ("time_limit_s", "max_running"):
        if changes.get(name, 1) <= 0:
            raise BadRequestError(f"{name} = {changes[name]}: must be above 0")
    event = JobChanged(time_s=ledger.now_s, uid=uid, **changes)
    if ledger.is_sweep(uid):
        return _if_any(ledger, uid, WAITING | _PLACED, [event], "all members of it are over")
    return record(ledger, [event])


def _stopping(ledger: Ledger, job: Job, then: str, now: bool = False) -> JobStopping:
    reason = {"held": "held", "queued": "requeued", "cancelled": "cancelled"}[then] + " by a person"
    return JobStopping(time_s=ledger.now_s, uid=job.uid, attempt=job.attempt, then=then, reason=reason, now=now)


def _cancelled(ledger: Ledger, job: Job, now: bool) -> Event | None:
    """Return the event that cancels a job; None when it is over, or when the same was asked before."""
    if job.state.is_terminal:
        return None
    if not job.state.is_placed:
        return JobEnded(time_s=ledger.now_s, uid=job.uid, state="cancelled", message="cancelled by a person")
    if now and job.state is JobState.UNKNOWN:
        # Nobody is there to ask. Its fence is too old for whatever still runs.
        message = "cancelled by a person while its agent was silent"
        return JobEnded(
            time_s=ledger.now_s, uid=job.uid, state="cancelled", attempt=job.attempt, message=message
        )
    if job.then == "cancelled" and job.stop_now >= now:
        return None
    return _stopping(ledger, job, "cancelled", now)


def _cancel_members(ledger: Ledger, uid: int, now: bool) -> list[Event]:
    ledger.flush()
    events = [
        event for job in ledger.members(uid, _PLACED) if (event := _cancelled(ledger, job, now)) is not None
    ]
    if any(state in WAITING for state in ledger.counts(uid)):
        message = "cancelled by a person"
        events.append(JobEnded(time_s=ledger.now_s, uid=uid, state="cancelled", message=message))
    if not events:
        raise ConflictError(f"sweep {ids.id_of(uid)} cannot be cancelled: all members of it are over or told to stop")
    return record(ledger, events)


def _requeue_members(ledger: Ledger, uid: int) -> list[Event]:
    ledger.flush()
    again = [job.uid for job in ledger.members(uid, _ENDED - {JobState.SUCCEEDED})]
    if ledger.sweep(uid).state.is_terminal:
        again += ledger.untouched(uid)
    if not again:
        raise ConflictError(f"sweep {ids.id_of(uid)} cannot be requeued: no member of it failed or was cancelled")
    ledger.fetch(again)
    return record(ledger, [JobRequeued(time_s=ledger.now_s, uid=member) for member in sorted(again)])


def _if_any(ledger: Ledger, uid: int, states: frozenset[JobState], events: list[Event], otherwise: str) -> list[Event]:
    """Record events about a sweep if a member is in one of `states`."""
    ledger.flush()
    if not states & ledger.counts(uid).keys():
        raise ConflictError(f"sweep {ids.id_of(uid)}: {otherwise}")
    return record(ledger, events)


def _conflict(job: Job, done: str, reason: str) -> ConflictError:
    return ConflictError(f"job {job.id} is {job.state.text} and cannot be {done}: {reason}")
