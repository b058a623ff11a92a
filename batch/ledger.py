"""One transaction of the writer: the state that its requests see and change, and the rows that come of it.

Requests follow one another within the transaction; each sees what those before it did, and leaves no trace when it
raises. Changes are gathered and written in a few statements at the end (`finish`), or earlier when a request has to
look through the members of a sweep in the database (`flush`), which happens before it has changed anything.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from batch import rows
from batch.database import ERRORS
from batch.driver_statements import bulk_insert, execute, rows_with
from batch.errors import BatchQueueError, LimitError, NotFoundError, StoreInUseError
from batch.events import Event
from batch.ids import MAX_UID
from batch.journal import JournalRow, at, to_row
from batch.memory import Memory
from batch.model import Team
from batch.queries import count_waiting
from batch.records import Job
from batch.rows import SweepRow
from batch.states import JobState
from batch.tables import EVENTS, JOBS, META, SUBMISSIONS, SWEEPS

T = TypeVar("T")
_UIDS_PER_QUERY = 10_000
_MOST_SKIPPED = 2**28
_ABSENT: Any = object()
_log = logging.getLogger(__name__)
_UPDATE_JOB = (
    update(JOBS).where(JOBS.c.uid == bindparam("of_uid")).values({name: bindparam(name) for name in rows.STANDING})
)
_SWEEP_STANDING = ("tier", "time_limit_s", "deadline_s", "max_running", "state", "changed_s", "message")
_UPDATE_SWEEP = (
    update(SWEEPS)
    .where(SWEEPS.c.uid == bindparam("of_uid"))
    .values({name: bindparam(name) for name in _SWEEP_STANDING})
)
_UPDATE_META = (
    update(META)
    .where(META.c.epoch == bindparam("of_epoch"))
    .values(next_uid=bindparam("next"), last_time_s=bindparam("time_s"))
)


class Ledger:
    """See the module. Made for one transaction, used by the writer's thread.

    `events` are those of this transaction, with their seq.
    """

    def __init__(self, connection: Connection, memory: Memory, clock_s: float) -> None:
        self.connection = connection
        self.memory = memory
        self.events: list[tuple[int, Event]] = []
        self._clock_s = clock_s
        self._time_s = memory.last_time_s
        self._next_uid = memory.next_uid
        self._rows: list[tuple[Table, dict[str, Any]]] = []
        self._jobs: dict[int, Job] = {}
        self._jobs_before: dict[int, Job] = {}  # as the database has those that were changed
        self._rowless: set[int] = set()  # members that the database has no row of
        self._sweeps: dict[int, SweepRow] = {}
        self._sweeps_before: dict[int, SweepRow] = {}
        self._teams: dict[str, Team] = {}
        self._sweep_keys: dict[tuple[str, str], tuple[int, str]] = {}
        self._num_waiting: dict[str, int] = {}
        self._documents: dict[tuple[Table, str], str] = {}
        self._submissions: dict[tuple[str, str], tuple[str, int, int]] = {}
        self._new_sweeps: dict[int, tuple[int, int]] = {}
        self._new_awaited: dict[int, bool] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._changed = False  # by the request that runs
        self._begun = self._mark()

    # The life of a transaction

    def fetch(self, reads: Collection[int | str]) -> None:
        """Read jobs (by uid) and submissions (by idempotency key) that the requests are going to ask for."""
        self._fetch_jobs(item for item in reads if isinstance(item, int))
        keys = list({item for item in reads if isinstance(item, str)})
        for key, team, digest, first_uid, count in rows_with(self.connection, SUBMISSIONS.c.key, keys):
            self._submissions[key, team] = (digest, first_uid, count)

    def run(self, plan: Callable[["Ledger"], T]) -> tuple[T | None, BaseException | None]:
        """Carry out one request; returns its result, or the error after which nothing is left of it.

        Errors of the database are raised: they concern the whole transaction.
        """
        self._undo.clear()
        self._begun = self._mark()
        self._changed = False
        try:
            return plan(self), None
        except ERRORS:
            raise
        except BatchQueueError as error:
            self._restore()
            return None, error
        except Exception as error:  # noqa: BLE001 - a defect in one request must not take others with it; it is answered
            _log.exception("a request failed in a way that nobody foresaw")
            self._restore()
            return None, error

    def flush(self) -> None:
        """Write the changes of the requests before this one, which has not changed anything yet."""
        assert not self._changed, "flushed after the request had changed something"
        by_table: defaultdict[Table, list[dict[str, Any]]] = defaultdict(list)
        for table, row in self._rows:
            by_table[table].append(row)
        for table, found in by_table.items():
            names = tuple(found[0])
            bulk_insert(self.connection, table, names, list(map(itemgetter(*names), found)))
        self._flush_jobs()
        changed = [rows.sweep_standing(self._sweeps[uid]) | {"of_uid": uid} for uid in self._sweeps_before]
        if changed:
            self.connection.execute(_UPDATE_SWEEP, changed)
        for (table, name), document in self._documents.items():
            self.connection.execute(delete(table).where(table.c.name == name))
            self.connection.execute(insert(table).values(name=name, document=document))
        self._rows.clear()
        self._sweeps_before.clear()
        self._documents.clear()
        self._begun = self._mark()

    def finish(self) -> None:
        """Write what is left, the journal, and the counters. Raises StoreInUseError when the epoch is not ours."""
        self._changed = False
        self.flush()
        if self.events:
            found = [to_row(seq, event) for seq, event in self.events]
            bulk_insert(self.connection, EVENTS, JournalRow._fields, found)
        counters = {"of_epoch": self.memory.epoch, "next": self._next_uid, "time_s": self._time_s}
        if not execute(self.connection, _UPDATE_META, counters).rowcount:
            raise StoreInUseError("another controller has taken the database over: this one must end")

    def remember(self) -> None:
        """Take what was committed into the writer's memory."""
        memory = self.memory
        memory.next_uid = self._next_uid
        memory.last_seq += len(self.events)
        memory.last_time_s = self._time_s
        memory.teams.update(self._teams)
        memory.awaited.update(self._new_awaited)
        for uid, (first_uid, count) in self._new_sweeps.items():
            memory.sweeps.add(uid, first_uid, count)

    # Time, uids, and the journal

    @property
    def now_s(self) -> float:
        """Return the time: the clock's, unless it has gone back."""
        return max(self._clock_s, self._time_s)

    def tick(self) -> float:
        """Return the time of an event that is written now."""
        self._time_s = self.now_s
        return self._time_s

    @property
    def last_seq(self) -> int:
        """Return the seq of the last event."""
        return self.memory.last_seq + len(self.events)

    def write_event(self, event: Event) -> None:
        """Add an event to the journal. Its time is that of `stamped`."""
        self.events.append((self.last_seq + 1, event))

    def stamped(self, event: Event) -> Event:
        """Return the event with a time that is not before the last one's."""
        self._time_s = max(self._time_s, event.time_s)
        return at(event, self._time_s)

    @property
    def next_uid(self) -> int:
        """Return the uid that is drawn next."""
        return self._next_uid

    def draw_uids(self, count: int) -> int:
        """Return the first of `count` uids that nobody ever had."""
        first = self._next_uid
        if first + count - 1 > MAX_UID:
            raise LimitError(f"{count} uids from {first} on: the last uid is {MAX_UID}: begin a new database")
        self._next_uid += count
        return first

    def skip_uids(self, last: int) -> None:
        """Let no uid up to `last` be drawn any more. Raises LimitError when that would use too many up."""
        count = last + 1 - self._next_uid
        if count > _MOST_SKIPPED:
            raise LimitError(f"uid {last} is {count} above the next: at most {_MOST_SKIPPED} can be skipped at once")
        if count > 0:
            self.draw_uids(count)

    # What is there

    def team(self, name: str) -> Team:
        """Return a team. Raises NotFoundError."""
        team = self._teams.get(name) or self.memory.teams.get(name)
        if team is None:
            known = ", ".join(sorted(self.memory.teams.keys() | self._teams.keys()))
            raise NotFoundError(f"team {name!r} does not exist; there are {known}: make it with `ostinato team set`")
        return team

    def is_sweep(self, uid: int) -> bool:
        """Say whether `uid` is that of a sweep, and not of a job or a member."""
        return uid in self._new_sweeps or self.memory.sweeps.members_of(uid) is not None

    def is_awaited(self, uid: int) -> bool:
        """Say whether somebody waits, or once did, for a job, a member or a sweep."""
        return uid in self.memory.awaited or uid in self._new_awaited

    def awaited(self) -> Iterator[int]:
        """Yield all uids for which is_awaited holds."""
        yield from self.memory.awaited
        yield from self._new_awaited

    def sweep(self, uid: int) -> SweepRow:
        """Return a sweep. Raises NotFoundError."""
        found = self._sweeps.get(uid)
        if found is None:
            row = self.connection.execute(select(SWEEPS).where(SWEEPS.c.uid == uid)).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"sweep {uid} does not exist")
            found = self._sweeps[uid] = rows.sweep_of(row)
        return found

    def job(self, uid: int) -> Job:
        """Return a job or a member of a sweep. Raises NotFoundError."""
        if uid not in self._jobs:
            self._fetch_jobs([uid])
        if uid not in self._jobs:
            raise NotFoundError(f"job {uid} does not exist")
        return self._jobs[uid]

    def members(self, sweep: int, states: Iterable[JobState]) -> list[Job]:
        """Return those members in one of `states` that stand for themselves. The ledger must be flushed."""
        wanted = frozenset(states)
        where = (JOBS.c.sweep == sweep) & JOBS.c.state.in_([state.text for state in wanted])
        self._take(self.connection.execute(select(JOBS).where(where)).mappings())
        own = [job for uid, job in self._jobs.items() if job.sweep == sweep and not self._is_untouched(uid)]
        return sorted((job for job in own if job.state in wanted), key=lambda job: job.uid)

    def untouched(self, sweep: int) -> list[int]:
        """Return the uids of the members that do not stand for themselves. The ledger must be flushed."""
        own = set(self.connection.execute(select(JOBS.c.uid).where(JOBS.c.sweep == sweep)).scalars())
        found = self.sweep(sweep)
        members = range(found.first_uid, found.first_uid + found.count)
        return [uid for uid in members if uid not in own and uid not in self._jobs_before]

    def counts(self, sweep: int) -> Counter[JobState]:
        """Return how many members of a sweep are in each state. The ledger must be flushed."""
        found = self.connection.execute(
            select(JOBS.c.state, func.count()).where(JOBS.c.sweep == sweep).group_by(JOBS.c.state)
        )
        counts = Counter({JobState.of(state): count for state, count in found})
        for uid, before in self._jobs_before.items():
            if before.sweep == sweep:
                counts[before.state] -= uid not in self._rowless
                counts[self._jobs[uid].state] += 1
        standing = self.sweep(sweep)
        counts[standing.state] += standing.count - counts.total()
        return +counts

    def submission(self, key: str, team: str) -> tuple[str, int, int] | None:
        """Return digest, first uid and number of what was submitted under an idempotency key that was fetched."""
        return self._submissions.get((key, team))

    def sweep_with_key(self, key: str, team: str) -> tuple[int, str] | None:
        """Return uid and digest of the sweep of a team that has this content key."""
        if (key, team) in self._sweep_keys:
            return self._sweep_keys[key, team]
        where = (SWEEPS.c.key == key) & (SWEEPS.c.team == team)
        row = self.connection.execute(select(SWEEPS.c.uid, SWEEPS.c.digest).where(where)).one_or_none()
        return None if row is None else (row.uid, row.digest)

    def num_waiting(self, team: str) -> int:
        """Return how many jobs of a team wait, counted when a request of this transaction first asked."""
        if team not in self._num_waiting:
            self.flush()
            self._num_waiting[team] = count_waiting(self.connection, team)
        return self._num_waiting[team]

    # Changes

    def add_waiting(self, team: str, count: int) -> None:
        """Note that more jobs of a team wait, where somebody counts."""
        if team in self._num_waiting:
            self._put(self._num_waiting, team, self._num_waiting[team] + count)

    def set_job(self, job: Job) -> None:
        """Let a job that was read stand as `job` says."""
        self._changed = True
        if job.uid not in self._jobs_before:
            self._put(self._jobs_before, job.uid, self._jobs[job.uid])
        self._put(self._jobs, job.uid, job)

    def set_sweep(self, sweep: SweepRow) -> None:
        """Let a sweep, and all its members that do not stand for themselves, stand as `sweep` says."""
        self._changed = True
        if sweep.uid not in self._sweeps_before:
            self._put(self._sweeps_before, sweep.uid, self._sweeps[sweep.uid])
        self._put(self._sweeps, sweep.uid, sweep)
        members = range(sweep.first_uid, sweep.first_uid + sweep.count)
        for uid in self._rowless & self._jobs.keys():
            if uid in members and self._is_untouched(uid):
                self._put(self._jobs, uid, sweep.untouched(uid))

    def set_team(self, team: Team) -> None:
        """Let the requests after this one see a team."""
        self._put(self._teams, team.name, team)

    def put_document(self, table: Table, name: str, document: str) -> None:
        """Replace the document of a team or a pool."""
        self._changed = True
        self._put(self._documents, (table, name), document)

    def add_row(self, table: Table, row: dict[str, Any]) -> None:
        """Insert a row, when the transaction ends."""
        self._changed = True
        self._rows.append((table, row))

    def add_submission(self, key: str, team: str, submitted: tuple[str, int, int]) -> None:
        """Note what was submitted under an idempotency key."""
        self._put(self._submissions, (key, team), submitted)
        digest, first_uid, count = submitted
        self.add_row(SUBMISSIONS, {"key": key, "team": team, "digest": digest, "first_uid": first_uid, "count": count})

    def add_sweep(self, row: dict[str, Any]) -> None:
        """Insert the row of a new sweep."""
        self.add_row(SWEEPS, row)
        self._put(self._new_sweeps, row["uid"], (row["first_uid"], row["count"]))
        self._put(self._sweep_keys, (row["key"], row["team"]), (row["uid"], row["digest"]))

    def add_awaited(self, uid: int) -> None:
        """Note that somebody waits for a job, a member or a sweep."""
        self._put(self._new_awaited, uid, True)

    # Inside

    def _mark(self) -> tuple[int, float, int, int]:
        return self._next_uid, self._time_s, len(self.events), len(self._rows)

    def _restore(self) -> None:
        self._next_uid, self._time_s, num_events, num_rows = self._begun
        del self.events[num_events:]
        del self._rows[num_rows:]
        for mapping, key, old in reversed(self._undo):
            if old is _ABSENT:
                del mapping[key]
            else:
                mapping[key] = old

    def _put(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((mapping, key, mapping.get(key, _ABSENT)))
        mapping[key] = value

    def _is_untouched(self, uid: int) -> bool:
        return uid in self._rowless and uid not in self._jobs_before

    def _fetch_jobs(self, uids: Iterable[int]) -> None:
        missing = {uid for uid in uids if uid not in self._jobs}
        ordered = sorted(missing)
        for start in range(0, len(ordered), _UIDS_PER_QUERY):
            some = ordered[start : start + _UIDS_PER_QUERY]
            self._take(self.connection.execute(select(JOBS).where(JOBS.c.uid.in_(some))).mappings())
        for uid in missing - self._jobs.keys():
            sweep = self.memory.sweeps.sweep_of(uid)
            if sweep is not None:
                self._rowless.add(uid)
                self._put(self._jobs, uid, self.sweep(sweep).untouched(uid))

    def _take(self, found: Iterable[rows.Row]) -> None:
        for row in list(found):
            if row["uid"] not in self._jobs:
                sweep = None if row["sweep"] is None else self.sweep(row["sweep"])
                self._jobs[row["uid"]] = rows.job_of(row, sweep)

    def _flush_jobs(self) -> None:
        new = self._rowless & self._jobs_before.keys()
        changed = [
            rows.standing_of(self._jobs[uid]) | {"of_uid": uid} for uid in self._jobs_before if uid not in new
        ]
        if new:
            self.connection.execute(insert(JOBS), [rows.member_row(self._jobs[uid]) for uid in sorted(new)])
        if changed:
            self.connection.execute(_UPDATE_JOB, changed)
        self._rowless -= new
        self._jobs_before.clear()
