"""What is asked of the store, answered from the last commit, without the writer.

Members of a sweep that have no row of their own are made up from the sweep's; nobody sees the difference.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from batch import ids, rows
from batch.database import Database
from batch.errors import NotFoundError
from batch.events import Event, JobRequeued
from batch.journal import JournalRow, from_row
from batch.model import Pool, Team
from batch.records import Attempt, Job, JobFilter, Sweep, Token
from batch.rows import SweepRow
from batch.states import JobState
from batch.tables import ATTEMPTS, EVENTS, JOBS, POOLS, SWEEPS, TEAMS, TOKENS
from batch.transitions import WAITING, attempt_of


class Queries:
    """The reads of Queue; each sees one state of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def job(self, uid: int) -> Job:
        """See Queue.job."""
        with self._database.read() as connection:
            return find_job(connection, uid)

    def jobs(self, where: JobFilter) -> list[Job]:
        """See Queue.jobs."""
        with self._database.read() as connection:
            found: list[Iterable[Job]] = [_jobs_with_rows(connection, where)]
            if where.members or where.sweep is not None:
                found.append(_untouched(connection, where))
            ordered = heapq.merge(*found, key=lambda job: job.uid, reverse=where.newest)
            return list(itertools.islice(ordered, where.limit))

    def sweep(self, uid: int) -> Sweep:
        """See Queue.sweep."""
        with self._database.read() as connection:
            row = connection.execute(select(SWEEPS).where(SWEEPS.c.uid == uid)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"{ids.id_of(uid)} is no sweep: see `ostinato ls`")
            return with_counts(connection, rows.sweep_of(row))

    def sweeps(self, where: JobFilter) -> list[Sweep]:
        """See Queue.sweeps."""
        with self._database.read() as connection:
            found = _each_sweep(connection, _said(SWEEPS, where), where)
            every = (with_counts(connection, sweep) for sweep in found)
            fitting = (sweep for sweep in every if not where.states or where.states & sweep.counts.keys())
            return list(itertools.islice(fitting, where.limit))

    def attempts(self, uid: int) -> list[Attempt]:
        """See Queue.attempts."""
        with self._database.read() as connection:
            job = find_job(connection, uid)
            query = select(ATTEMPTS).where(ATTEMPTS.c.uid == uid).order_by(ATTEMPTS.c.attempt)
            found = [rows.attempt_of_row(row) for row in connection.execute(query).mappings()]
        current = attempt_of(job) if job.state.is_placed else None
        return found if current is None else [*found, current]

    def teams(self) -> dict[str, Team]:
        """See Queue.teams."""
        return self._documents(TEAMS, Team)

    def requeued_s(self, uid: int) -> float | None:
        """See Queue.requeued_s."""
        query = select(func.max(EVENTS.c.time_s)).where((EVENTS.c.uid == uid) & (EVENTS.c.kind == JobRequeued.__name__))
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def pools(self) -> dict[str, Pool]:
        """See Queue.pools."""
        return self._documents(POOLS, Pool)

    def events(self, after: int, limit: int, uid: int | None) -> list[tuple[int, Event]]:
        """See Queue.events."""
        query = select(EVENTS).where(EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(limit)
        with self._database.read() as connection:
            if uid is not None:
                sweep = _sweep_row_of_member(connection, uid)
                query = query.where(EVENTS.c.uid.in_([uid] if sweep is None else [uid, sweep.uid]))
            found = [JournalRow(*row) for row in connection.execute(query)]
            specs = submitted_specs(connection, found)
        return [(row.seq, from_row(row, specs.get(row.seq))) for row in found]

    def tokens(self) -> list[Token]:
        """See Queue.tokens."""
        with self._database.read() as connection:
            found = connection.execute(select(TOKENS).order_by(TOKENS.c.created_s)).mappings()
            return [rows.token_of(row) for row in found]

    def _documents(self, table: Table, cls: Any) -> dict[str, Any]:
        with self._database.read() as connection:
            found = connection.execute(select(table).order_by(table.c.name))
            return {name: rows.from_document(cls, document) for name, document in found}


def find_job(connection: Connection, uid: int) -> Job:
    """Return a job or a member of a sweep. Raises NotFoundError."""
    row = connection.execute(select(JOBS).where(JOBS.c.uid == uid)).mappings().one_or_none()
    if row is not None and row["sweep"] is None:
        return rows.job_of(row)
    sweep = _sweep_row_of_member(connection, uid)
    if sweep is None:
        raise NotFoundError(_no_job(connection, uid))
    return sweep.untouched(uid) if row is None else rows.job_of(row, sweep)


def _no_job(connection: Connection, uid: int) -> str:
    sweep, name = connection.execute(select(SWEEPS.c.count).where(SWEEPS.c.uid == uid)).scalar(), ids.id_of(uid)
    if sweep is None:
        return f"job {name} does not exist: see `ostinato ls`"
    return f"{name} is a sweep: name one of its members, {name}.0 to {name}.{sweep - 1}; `ostinato sweep show` has all"


def submitted_specs(connection: Connection, found: list[JournalRow]) -> dict[int, Any]:
    """Return the specifications of those rows of the journal that are submissions, by seq."""
    jobs = {row.uid: row.seq for row in found if row.kind == "JobSubmitted"}
    sweeps = {row.uid: row.seq for row in found if row.kind == "SweepSubmitted"}
    specs: dict[int, Any] = {}
    for row in _in_parts(connection, JOBS, list(jobs)):
        specs[jobs[row["uid"]]] = rows.submitted_spec(row)
    for row in _in_parts(connection, SWEEPS, list(sweeps)):
        specs[sweeps[row["uid"]]] = rows.sweep_spec(row["spec"])
    return specs


def count_waiting(connection: Connection, team: str) -> int:
    """Return how many jobs and members of a team wait."""
    waiting = [state.text for state in WAITING]
    own = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(waiting), JOBS.c.team == team)
    sweeps = select(SWEEPS.c.uid, SWEEPS.c.count).where(SWEEPS.c.state.in_(waiting), SWEEPS.c.team == team)
    total: int = connection.execute(own).scalar_one()
    for uid, count in connection.execute(sweeps).all():
        touched = select(func.count()).select_from(JOBS).where(JOBS.c.sweep == uid)
        total += count - connection.execute(touched).scalar_one()
    return total


def _in_parts(connection: Connection, table: Table, uids: list[Any]) -> Iterator[rows.Row]:
    for start in range(0, len(uids), 10_000):
        some = uids[start : start + 10_000]
        yield from connection.execute(select(table).where(table.c.uid.in_(some))).mappings()


def _sweep_row_of_member(connection: Connection, uid: int) -> SweepRow | None:
    query = select(SWEEPS).where(SWEEPS.c.first_uid <= uid).order_by(SWEEPS.c.first_uid.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return rows.sweep_of(row) if row is not None and uid < row["first_uid"] + row["count"] else None


def with_counts(connection: Connection, sweep: SweepRow) -> Sweep:
    """Return a sweep with the numbers of its members in each state."""
    found = connection.execute(
        select(JOBS.c.state, func.count()).where(JOBS.c.sweep == sweep.uid).group_by(JOBS.c.state)
    )
    counts = Counter({JobState.of(state): count for state, count in found})
    counts[sweep.state] += sweep.count - counts.total()
    return Sweep(
        uid=sweep.uid,
        first_uid=sweep.first_uid,
        spec=sweep.spec,
        submitted_s=sweep.submitted_s,
        counts=dict(+counts),
    )


def _said(table: Table, where: JobFilter) -> list[ColumnElement[bool]]:
    """Return the conditions that jobs and sweeps have in common."""
    wanted = {"team": where.team, "user": where.user, "name": where.name, "tier": where.tier and where.tier.value}
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _order(table: Table, where: JobFilter) -> ColumnElement[Any]:
    return table.c.uid.desc() if where.newest else table.c.uid.asc()


def _jobs_with_rows(connection: Connection, where: JobFilter) -> list[Job]:
    conditions = _said(JOBS, where)
    if where.states:
        conditions.append(JOBS.c.state.in_([state.text for state in where.states]))
    if where.sweep is not None:
        conditions.append(JOBS.c.sweep == where.sweep)
    elif not where.members:
        conditions.append(JOBS.c.sweep.is_(None))
    if where.beyond is not None:
        conditions.append(JOBS.c.uid < where.beyond if where.newest else JOBS.c.uid > where.beyond)
    query = select(JOBS).where(*conditions).order_by(_order(JOBS, where)).limit(where.limit)
    found = connection.execute(query).mappings().all()
    wanted = {row["sweep"] for row in found if row["sweep"] is not None}
    sweeps = {row["uid"]: rows.sweep_of(row) for row in _in_parts(connection, SWEEPS, sorted(wanted))}
    return [rows.job_of(row, sweeps.get(row["sweep"])) for row in found]


def _untouched(connection: Connection, where: JobFilter) -> Iterator[Job]:
    """Yield members that have no row, in order of uid; a sweep is looked into when its turn comes."""
    conditions = _said(SWEEPS, where)
    if where.states:
        conditions.append(SWEEPS.c.state.in_([state.text for state in where.states]))
    if where.sweep is not None:
        conditions.append(SWEEPS.c.uid == where.sweep)
    if where.beyond is not None:
        last = SWEEPS.c.first_uid + SWEEPS.c.count - 1
        conditions.append(SWEEPS.c.first_uid < where.beyond if where.newest else last > where.beyond)
    for sweep in _each_sweep(connection, conditions, where):
        own = set(connection.execute(select(JOBS.c.uid).where(JOBS.c.sweep == sweep.uid)).scalars())
        members = range(sweep.first_uid, sweep.first_uid + sweep.count)
        for uid in reversed(members) if where.newest else members:
            passed = where.beyond is not None and (uid >= where.beyond if where.newest else uid <= where.beyond)
            if uid not in own and not passed:
                yield sweep.untouched(uid)


def _each_sweep(
    connection: Connection, conditions: list[ColumnElement[bool]], where: JobFilter
) -> Iterator[SweepRow]:
    """Yield sweeps in order; each is read when its turn comes, for one may be megabytes."""
    query = select(SWEEPS.c.uid).where(*conditions).order_by(_order(SWEEPS, where))
    for uid in connection.execute(query).scalars().all():
        yield rows.sweep_of(connection.execute(select(SWEEPS).where(SWEEPS.c.uid == uid)).mappings().one())
