"""The durable queue: everything that is submitted, decided and reported goes through one `Queue`, and is kept.

One process has a database open at a time, the controller; within it any thread may call. A call that writes returns
when what it wrote is on the disk (SQLite: write-ahead log, synchronous=FULL), together with the row of the journal
that says so: what was acknowledged survives a kill -9 and a power cut. Many calls share one commit (writer.py). Reads
have connections of their own and neither block the writer nor wait for it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TypeVar

from batch import pools, verbs
from batch.commits import Committer, Listener
from batch.database import Database
from batch.errors import StoreError
from batch.events import Basis, Event, JobEvent, JobPlaced, JobStopping, PoolSet, TeamSet
from batch.ledger import Ledger
from batch.lookup import resolve
from batch.model import JobSpec, Node, Pool, SweepSpec, Team, Tier
from batch.queries import Queries
from batch.recording import record
from batch.records import Attempt, Job, JobFilter, Sweep, Token
from batch.replay import replay
from batch.submissions import prepare_jobs, prepare_sweep
from batch.tokens import add_token, remove_token
from batch.writer import Writer

ANSWER_TIMEOUT_S = 60.0
"""How long a call waits for its commit. Nothing is known of what took longer: the disk does not answer."""
T = TypeVar("T")


class Queue:
    """See the module. Made by `open`; also a context manager, which closes it.

    Each call that writes has a form that ends in `_soon`: it returns a future at once, for whoever must not block.
    Errors of the request are raised by the call or by the future; nothing of the request is written then.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._queries = Queries(database)
        self._is_closed = False
        self._committer = Committer(database, clock)
        self._writer: Writer[Ledger] = Writer(self._committer.commit)

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> "Queue":
        """Open the database at `url`, a path or `sqlite:///path`; make or migrate it; begin a new epoch.

        `clock` gives epoch seconds; the queue's time never goes back, whatever it says (forward_clock.py). A new
        database has the team `default`. Raises StoreInUseError when another process has it, StoreError when it cannot
        be used.
        """
        database = Database.open(url)
        try:
            return cls(database, clock)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Commit what was asked for, end the writer, and let go of the database. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._writer.close()
            self._committer.close()
            self._database.close()

    def __enter__(self) -> "Queue":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def failure(self) -> str | None:
        """Return why nothing can be written any more, in words; None as long as it can. Then: close, and open again."""
        return self._writer.failure

    @property
    def clock(self) -> Callable[[], float]:
        """Return what tells the queue's time, which never goes back: that of events, and of what waits for a time."""
        return self._committer.clock

    @property
    def epoch(self) -> int:
        """Return the number of times that the database was opened; this controller's number."""
        return self._committer.epoch

    @property
    def next_uid(self) -> int:
        """Return the uid that is drawn next, as of the last commit."""
        return self._committer.next_uid

    def skip_uids(self, last: int) -> None:
        """Never draw a uid up to `last`. Raises LimitError for one that no agent of this queue can have seen."""
        self._write(lambda ledger: ledger.skip_uids(last))

    def listen(self, listener: Listener) -> int:
        """Hand `listener` all events committed from now on, and return the seq of the last one before.

        It is called by the writer's thread with a list of (seq, event) for each commit, in order, after the commit
        and before the calls that made it return. It must return at once and must not call the queue. There is one
        listener; when it raises, the queue stops, for nobody would know what it missed.
        """
        return self._write(lambda ledger: self._committer.listen(listener, ledger))

    # Submitting

    def submit(self, specs: Sequence[JobSpec], *, key: str | None = None) -> list[int]:
        """Make jobs, all or none, and return their uids, which are contiguous and in order.

        `key` is an idempotency key, unique in the team: with a key that was used for equal specs, returns the uids
        of then. Raises ConflictError when it was used for others, BadRequestError for a spec that cannot be meant or
        is larger than spec_checks.SPEC_LIMIT_BYTES, DependencyCycleError, NotFoundError for a team or a dependency
        that does not exist, LimitError when the team may not have that many or that large ones.
        """
        return _answer(self.submit_soon(specs, key=key))

    def submit_soon(self, specs: Sequence[JobSpec], *, key: str | None = None) -> "Future[list[int]]":
        """As `submit`, but raises at once what can be said without the database, and does not wait."""
        prepared = prepare_jobs(specs, key)
        return self._writer.ask(prepared.write, () if key is None else (key,), len(specs))

    def submit_sweep(self, spec: SweepSpec) -> int:
        """Make a sweep and return its uid; when the team has one of equal `spec.key`, that one's.

        An empty key is replaced by the hash of all the rest. Raises what `submit` raises.
        """
        return _answer(self.submit_sweep_soon(spec))

    def submit_sweep_soon(self, spec: SweepSpec) -> "Future[int]":
        """As `submit_sweep`, without waiting."""
        return self._writer.ask(prepare_sweep(spec).write)

    # Recording what happens

    def record(self, *events: Event) -> None:
        """Write events, all or none. Submissions have their own calls.

        Raises IllegalMoveError, StaleFenceError for an attempt that is over, ConflictError, NotFoundError. A time
        before that of the last event is written as the time of the last event.
        """
        _answer(self.record_soon(*events))

    def record_soon(self, *events: Event) -> "Future[list[Event]]":
        """As `record`, without waiting; the result is the events with the times that were written."""
        reads = [event.uid for event in events if isinstance(event, JobEvent)]
        return self._writer.ask(lambda ledger: record(ledger, events), reads, len(events))

    def place_soon(
        self, uid: int, pool: str, nodes: tuple[str, ...], *, basis: Basis | None = None
    ) -> "Future[JobPlaced]":
        """Place a queued job: draws the attempt's number and its fence. Raises as `record`, by the future."""
        place = {"pool": pool, "nodes": nodes, "basis": basis}
        return self._writer.ask(lambda ledger: verbs.place(ledger, uid, place), (uid,))

    def stop_soon(
        self,
        uid: int,
        *,
        then: str,
        reason: str,
        beneficiary: int | None = None,
        now: bool = False,
        basis: Basis | None = None,
    ) -> "Future[JobStopping]":
        """Ask the attempt of a placed job to save and stop. Raises as `record`, by the future."""
        asked = {"then": then, "reason": reason, "beneficiary": beneficiary, "now": now, "basis": basis}
        return self._writer.ask(lambda ledger: verbs.stop(ledger, uid, asked), (uid,))

    def set_team(self, team: Team) -> None:
        """Make or change a team."""
        self._write(lambda ledger: record(ledger, [TeamSet(time_s=ledger.now_s, team=team)]))

    def set_pool(self, pool: Pool) -> None:
        """Make or change a pool."""
        self._write(lambda ledger: record(ledger, [PoolSet(time_s=ledger.now_s, pool=pool)]))

    def set_nodes(self, pool: str, nodes: tuple[Node, ...], agent: str) -> None:
        """Note what `agent` says of its pool, made when there is none. Whether it is drained stays as it is."""
        self._write(lambda ledger: pools.set_nodes(ledger, pool, nodes, agent))

    def drain(self, pool: str, *, drained: bool) -> Pool:
        """Let nothing new start in a pool, or let it again; return the pool. Raises NotFoundError."""
        return self._write(lambda ledger: pools.drain(ledger, pool, drained))

    # What people ask for. `uid` may be a sweep's: then it is about its members. Each returns the events.

    def hold(self, uid: int) -> list[Event]:
        """Let what waits not start; a single job that runs saves, stops, and is held then.

        Raises ConflictError when it is over or held.
        """
        return self._write(lambda ledger: verbs.hold(ledger, uid))

    def release(self, uid: int) -> list[Event]:
        """End a hold. Raises ConflictError when it is not held, nor to be held when it has stopped."""
        return self._write(lambda ledger: verbs.release(ledger, uid))

    def cancel(self, uid: int, now: bool = False) -> list[Event]:
        """End what waits, and let what runs save and end; with `now`, end without saving.

        With `now`, a job whose agent is silent is over at once, and its fence is too old for whatever still runs.
        Raises ConflictError when it is over, or when the same was asked before.
        """
        return self._write(lambda ledger: verbs.cancel(ledger, uid, now))

    def requeue(self, uid: int) -> list[Event]:
        """Let what is over run again, and what runs save, stop, and queue; of a sweep, what failed or was cancelled.

        Raises ConflictError when it waits already.
        """
        return self._write(lambda ledger: verbs.requeue(ledger, uid))

    def change(
        self,
        uid: int,
        *,
        tier: Tier | None = None,
        time_limit_s: float | None = None,
        deadline_s: float | None = None,
        max_running: int | None = None,
    ) -> list[Event]:
        """Set what may be set later; None leaves it. Raises ConflictError when it is over, BadRequestError."""
        given = {
            "tier": tier, "time_limit_s": time_limit_s, "deadline_s": deadline_s, "max_running": max_running,
        }  # fmt: skip
        return self._write(lambda ledger: verbs.change(ledger, uid, given))

    # Reading

    def resolve(self, text: str) -> int:
        """Return the uid of an id, an abbreviation, a name, or one of these with `.INDEX` for a member of a sweep.

        A whole id comes first, then a name (of several, the one that is not over), then an abbreviation. Raises
        NotFoundError; AmbiguousIdError, which lists what fits.
        """
        with self._database.read() as connection:
            return resolve(connection, text)

    def job(self, uid: int) -> Job:
        """Return a job, or a member of a sweep. Raises NotFoundError."""
        return self._queries.job(uid)

    def jobs(self, where: JobFilter | None = None) -> list[Job]:
        """Return the jobs that fit; see JobFilter."""
        return self._queries.jobs(where or JobFilter())

    def sweep(self, uid: int) -> Sweep:
        """Return a sweep. Raises NotFoundError."""
        return self._queries.sweep(uid)

    def sweeps(self, where: JobFilter | None = None) -> list[Sweep]:
        """Return the sweeps that fit, by team, user, name and tier; with `states`, those with a member in any."""
        return self._queries.sweeps(where or JobFilter())

    def attempts(self, uid: int) -> list[Attempt]:
        """Return all attempts of a job in order, the one that is not over included. Raises NotFoundError."""
        return self._queries.attempts(uid)

    def requeued_s(self, uid: int) -> float | None:
        """Return when a person last requeued a job that was over; None when nobody has."""
        return self._queries.requeued_s(uid)

    def teams(self) -> dict[str, Team]:
        """Return the teams by name."""
        return self._queries.teams()

    def pools(self) -> dict[str, Pool]:
        """Return the pools by name."""
        return self._queries.pools()

    def events(self, after: int = 0, limit: int = 1000, *, uid: int | None = None) -> list[tuple[int, Event]]:
        """Return at most `limit` events whose seq is above `after`, in order; with `uid`, those of that job."""
        return self._queries.events(after, limit, uid)

    def replay(self, history: int = 10_000) -> Iterator[Event]:
        """Return events in order of time from which a scheduler rebuilds its state; see replay.py."""
        return replay(self._database, history)

    # Tokens

    def add_token(self, token: Token) -> None:
        """Keep a token. Raises ConflictError when it is known."""
        self._write(lambda ledger: add_token(ledger, token))

    def remove_token(self, digest: str) -> None:
        """Forget a token. Raises NotFoundError."""
        self._write(lambda ledger: remove_token(ledger, digest))

    def tokens(self) -> list[Token]:
        """Return all tokens, the oldest first."""
        return self._queries.tokens()

    def _write(self, plan: Callable[[Ledger], T]) -> T:
        return _answer(self._writer.ask(plan))


def _answer(future: "Future[T]") -> T:
    try:
        return future.result(ANSWER_TIMEOUT_S)
    except TimeoutError:
        raise StoreError(
            f"no commit within {ANSWER_TIMEOUT_S:.0f} s: the disk does not answer; it is not known whether the "
            "request was written. Ask again with the same key when the disk is well"
        ) from None
