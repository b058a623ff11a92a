"""Events as changes of a ledger: what each does to its job, to the members of a sweep, and to who waits for them.

An event that ends the last of what a job waits for also lets that job go from blocked to queued; there is no event of
its own for that, since the journal says it already. What can never be met, because what it waits for has failed, stays
blocked until a person cancels it or runs the failed one again: nothing is cancelled behind anybody's back.
"""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import select

from batch import rows
from batch.errors import BadRequestError, IllegalMoveError
from batch.events import (
    Event,
    JobChanged,
    JobEnded,
    JobEvent,
    JobHeld,
    JobReleased,
    JobRequeued,
    JobSubmitted,
    PoolSet,
    SweepSubmitted,
    TeamSet,
)
from batch.ledger import Ledger
from batch.model import Dependency, JobSpec, Pool, Team
from batch.records import Job
from batch.rows import SweepRow
from batch.states import JobState
from batch.tables import ATTEMPTS, DEPENDENCIES, POOLS, TEAMS
from batch.transitions import WAITING, after, attempt_of


def record(ledger: Ledger, events: Sequence[Event]) -> list[Event]:
    """Apply events in order and write them; returns them with the times that were written.

    Raises what transitions.after raises, NotFoundError, and BadRequestError for a submission.
    """
    if any(_looks_through_a_sweep(ledger, event) for event in events):
        ledger.flush()
    return [_apply(ledger, event) for event in events]


def waits(ledger: Ledger, spec: JobSpec) -> bool:
    """Say whether something that `spec` depends on is not as it wants it."""
    return not all(_is_met(ledger, dependency) for dependency in spec.after)


def first_state(ledger: Ledger, spec: JobSpec) -> JobState:
    """Return where a job that is submitted stands."""
    if spec.held:
        return JobState.HELD
    return JobState.BLOCKED if spec.after and waits(ledger, spec) else JobState.QUEUED


def _looks_through_a_sweep(ledger: Ledger, event: Event) -> bool:
    """Say whether the event is about a whole sweep, or might make somebody look at all members of one."""
    if not isinstance(event, JobEvent):
        return False
    if ledger.is_sweep(event.uid) or ledger.is_awaited(event.uid) or isinstance(event, JobReleased | JobRequeued):
        return True
    sweep = ledger.memory.sweeps.sweep_of(event.uid)
    return sweep is not None and ledger.is_awaited(sweep)


def _apply(ledger: Ledger, event: Event) -> Event:
    event = ledger.stamped(event)
    if isinstance(event, TeamSet | PoolSet):
        _set_document(ledger, event)
    elif isinstance(event, JobSubmitted | SweepSubmitted) or not isinstance(event, JobEvent):
        raise BadRequestError(f"{type(event).__name__} cannot be recorded: submit it instead")
    elif ledger.is_sweep(event.uid):
        _apply_to_members(ledger, event)
    else:
        _apply_to_job(ledger, event)
    ledger.write_event(event)
    return event


def _set_document(ledger: Ledger, event: TeamSet | PoolSet) -> None:
    value: Team | Pool = event.team if isinstance(event, TeamSet) else event.pool
    if not value.name:
        raise BadRequestError(f"{type(event).__name__}: the name is empty: give it one")
    if isinstance(value, Team):
        ledger.set_team(value)
    ledger.put_document(TEAMS if isinstance(value, Team) else POOLS, value.name, rows.document_of(value))


def _apply_to_job(ledger: Ledger, event: JobEvent) -> None:
    before = ledger.job(event.uid)
    job = after(before, event, blocked=_would_be_blocked(ledger, before.spec, event))
    ledger.set_job(job)
    if before.state.is_placed and not job.state.is_placed:
        attempt = attempt_of(job)
        assert attempt is not None, "what was placed has an attempt"
        ledger.add_row(ATTEMPTS, rows.attempt_row(attempt))
    if job.state.is_terminal:
        _unblock(ledger, {job.uid, job.sweep or job.uid}, event.time_s)


_STATES_BEFORE: dict[type[JobEvent], frozenset[JobState]] = {
    JobHeld: frozenset({JobState.BLOCKED, JobState.QUEUED}),
    JobReleased: frozenset({JobState.HELD}),
    JobChanged: WAITING,
    JobEnded: WAITING,
}
"""Which members an event on a whole sweep is about."""


def _apply_to_members(ledger: Ledger, event: JobEvent) -> None:
    states = _STATES_BEFORE.get(type(event))
    if states is None or (isinstance(event, JobEnded) and (event.state, event.attempt) != ("cancelled", 0)):
        raise IllegalMoveError(f"{type(event).__name__} of sweep {event.uid}: must be about one member: give its uid")
    sweep = ledger.sweep(event.uid)
    blocked = _would_be_blocked(ledger, sweep.spec.template, event)
    for member in ledger.members(sweep.uid, states):
        ledger.set_job(after(member, event, blocked=blocked))
    ledger.set_sweep(_sweep_after(sweep, event, states, blocked))
    if isinstance(event, JobEnded):
        members = range(sweep.first_uid, sweep.first_uid + sweep.count)
        _unblock(ledger, {sweep.uid, *(uid for uid in ledger.awaited() if uid in members)}, event.time_s)


def _sweep_after(sweep: SweepRow, event: JobEvent, states: frozenset[JobState], blocked: bool) -> SweepRow:
    """Return the sweep with its untouched members after the event, and with the limit that was changed."""
    if isinstance(event, JobChanged) and event.max_running is not None:
        sweep = dataclasses.replace(sweep, spec=dataclasses.replace(sweep.spec, max_running=event.max_running))
    if sweep.state not in states:
        return sweep
    member = after(sweep.untouched(sweep.first_uid), event, blocked=blocked)
    spec = dataclasses.replace(sweep.spec, template=member.spec)
    message = event.message if isinstance(event, JobEnded) else sweep.message
    return dataclasses.replace(sweep, spec=spec, state=member.state, changed_s=member.changed_s, message=message)


def _would_be_blocked(ledger: Ledger, spec: JobSpec, event: JobEvent) -> bool:
    return isinstance(event, JobReleased | JobRequeued) and waits(ledger, spec)


def _is_met(ledger: Ledger, dependency: Dependency) -> bool:
    if ledger.is_sweep(dependency.uid):
        counts = ledger.counts(dependency.uid)
        open_ones = [state for state in counts if not state.is_terminal]
        return not open_ones and (not dependency.ok or set(counts) == {JobState.SUCCEEDED})
    state = ledger.job(dependency.uid).state
    return state.is_terminal and (not dependency.ok or state is JobState.SUCCEEDED)


def _unblock(ledger: Ledger, ended: set[int], time_s: float) -> None:
    """Queue what was blocked by `ended` and is so no longer."""
    ended = {uid for uid in ended if ledger.is_awaited(uid)}
    if not ended:
        return
    waiting = select(DEPENDENCIES.c.uid).where(DEPENDENCIES.c.on_uid.in_(ended)).distinct()
    for uid in sorted(ledger.connection.execute(waiting).scalars()):
        if ledger.is_sweep(uid):
            _unblock_members(ledger, ledger.sweep(uid), time_s)
        elif (job := ledger.job(uid)).state is JobState.BLOCKED and not waits(ledger, job.spec):
            ledger.set_job(_queued(job, time_s))


def _unblock_members(ledger: Ledger, sweep: SweepRow, time_s: float) -> None:
    if waits(ledger, sweep.spec.template):
        return
    for member in ledger.members(sweep.uid, {JobState.BLOCKED}):
        ledger.set_job(_queued(member, time_s))
    if sweep.state is JobState.BLOCKED:
        ledger.set_sweep(dataclasses.replace(sweep, state=JobState.QUEUED, changed_s=time_s))


def _queued(job: Job, time_s: float) -> Job:
    return dataclasses.replace(job, state=JobState.QUEUED, changed_s=time_s)
