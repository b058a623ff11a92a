"""The journal without what no longer matters: from it a scheduler rebuilds its state after a restart.

Kept are, in order and with their seqs' order and times,

- all events of jobs and sweeps that are not over, of what they depend on, and of jobs whose attempts are among the last
  `history` that ended, from which durations and the use of each team are learned;
- of the checkpoints of a job the newest;
- what was said about teams and pools since the first of these, and the last word on each before.

So a scheduler that applies these stands where one would that had applied the whole journal, but for what it remembers
of older attempts. The cost is in jobs that are not over, and not in the length of the journal. Specifications come
without payload and name, which schedulers do not read, so that those of many jobs are parsed once for all of them.
"""

from collections.abc import Iterator
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, not_, select

from batch import rows
from batch.database import Database
from batch.events import Event, PoolSet, TeamSet
from batch.journal import JournalRow, from_row
from batch.states import JobState
from batch.tables import ATTEMPTS, DEPENDENCIES, EVENTS, JOBS, SWEEPS

_TERMINAL = [state.text for state in JobState if state.is_terminal]
_UID = JournalRow._fields.index("uid")
_PART = 10_000  # uids in one query


def replay(database: Database, history: int) -> Iterator[Event]:
    """Yield the events that still matter, in order. Raises StoreError."""
    with database.read() as connection:
        jobs, sweeps = _not_over(connection)
        _add_recent(connection, history, jobs, sweeps)
        _add_dependencies(connection, jobs, sweeps)
        members = _values(connection, JOBS.c.uid, JOBS.c.sweep, sweeps)
        journal = sorted(_events_of(connection, jobs | sweeps | members))
        specs = _specs(connection, journal)
        journal = sorted([*_documents(connection, journal[0].seq if journal else inf), *journal])
    for row in journal:
        yield from_row(row, specs.get(row.uid))


def _not_over(connection: Connection) -> tuple[set[int], set[int]]:
    """Return the uids of jobs that belong to no sweep, and of sweeps."""
    found = connection.execute(select(JOBS.c.uid, JOBS.c.sweep).where(JOBS.c.state.not_in(_TERMINAL))).all()
    jobs = {uid for uid, sweep in found if sweep is None}
    sweeps = {sweep for _, sweep in found if sweep is not None}
    waiting = select(SWEEPS.c.uid).where(SWEEPS.c.state.not_in(_TERMINAL))
    return jobs, sweeps | set(connection.execute(waiting).scalars())


def _add_recent(connection: Connection, history: int, jobs: set[int], sweeps: set[int]) -> None:
    last = select(ATTEMPTS.c.uid).order_by(ATTEMPTS.c.ended_s.desc()).limit(history)
    uids = set(connection.execute(last).scalars())
    jobs |= _values(connection, JOBS.c.uid, JOBS.c.uid, uids, JOBS.c.sweep.is_(None))
    sweeps |= _values(connection, JOBS.c.sweep, JOBS.c.uid, uids, JOBS.c.sweep.is_not(None))


def _add_dependencies(connection: Connection, jobs: set[int], sweeps: set[int]) -> None:
    """Add what any of them depends on, and what that depended on, and so on."""
    new = jobs | sweeps
    while new:
        targets = _values(connection, DEPENDENCIES.c.on_uid, DEPENDENCIES.c.uid, new)
        plain = _values(connection, JOBS.c.uid, JOBS.c.uid, targets, JOBS.c.sweep.is_(None))
        whole = _values(connection, SWEEPS.c.uid, SWEEPS.c.uid, targets)
        for uid in targets - plain - whole:  # members; one of them brings the whole sweep
            found = select(SWEEPS.c.uid).where(SWEEPS.c.first_uid <= uid).order_by(SWEEPS.c.uid.desc()).limit(1)
            whole.add(connection.execute(found).scalar_one())
        new = (plain - jobs) | (whole - sweeps)
        jobs |= plain
        sweeps |= whole


def _events_of(connection: Connection, uids: set[int]) -> Iterator[JournalRow]:
    later = EVENTS.alias()
    overtaken = exists().where(later.c.uid == EVENTS.c.uid, later.c.seq > EVENTS.c.seq, later.c.kind == EVENTS.c.kind)
    matters = not_(and_(EVENTS.c.kind == "JobCheckpointed", overtaken))
    for part in _parts(sorted(uids)):
        for row in connection.execute(select(EVENTS).where(_among(EVENTS.c.uid, part), matters)).all():
            if row[_UID] in uids:
                yield JournalRow._make(row)


def _specs(connection: Connection, journal: list[JournalRow]) -> dict[int | None, Any]:
    specs: dict[int | None, Any] = {}
    for kind, table, read in (("JobSubmitted", JOBS, rows.shared_spec), ("SweepSubmitted", SWEEPS, rows.sweep_spec)):
        uids = {row.uid for row in journal if row.kind == kind and row.uid is not None}
        for part in _parts(sorted(uids)):
            found = connection.execute(select(table.c.uid, table.c.spec).where(_among(table.c.uid, part))).all()
            specs |= {uid: read(text) for uid, text in found if uid in uids}
    return specs


def _documents(connection: Connection, first_seq: float) -> Iterator[JournalRow]:
    """Yield what was said of teams and pools from `first_seq` on, and the last word on each before."""
    before: dict[str, JournalRow] = {}
    for found in connection.execute(select(EVENTS).where(EVENTS.c.uid.is_(None)).order_by(EVENTS.c.seq)):
        row = JournalRow(*found)
        if row.seq > first_seq:
            yield row
            continue
        event = from_row(row)
        assert isinstance(event, TeamSet | PoolSet), "only these are about no job"
        before[event.team.name if isinstance(event, TeamSet) else f"pool {event.pool.name}"] = row
    yield from before.values()


def _values(
    connection: Connection,
    value: ColumnElement[Any],
    key: ColumnElement[Any],
    among: set[int],
    *where: ColumnElement[bool],
) -> set[int]:
    """Return `value` of the rows whose `key` is among these and for which the conditions hold."""
    found: set[int] = set()
    for part in _parts(sorted(among)):
        rows_there = connection.execute(select(key, value).where(_among(key, part), *where)).all()
        found.update(there for uid, there in rows_there if uid in among)
    return found


def _among(column: ColumnElement[Any], uids: list[int]) -> ColumnElement[bool]:
    """Return a condition for uids, in order; where they lie close together it lets others between them through.

    An interval costs nothing; a list costs a microsecond for each item before the database even sees it.
    """
    is_dense = uids[-1] - uids[0] < 2 * len(uids)
    return column.between(uids[0], uids[-1]) if is_dense else column.in_(uids)


def _parts(uids: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(uids), _PART):
        yield uids[start : start + _PART]
