"""The parts of a controller, put together: queue, board, scheduler's thread, agents' desk, tokens."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from batch.controller.agent_desk import AgentDesk, record_each
from batch.controller.answers import Answers
from batch.controller.board import Board
from batch.controller.code_store import CodeStore
from batch.controller.rate_limits import RateLimits
from batch.controller.roles import Principal, Right
from batch.controller.scheduling_loop import SchedulingLoop
from batch.controller.shapes import check_possible
from batch.controller.tokens import Tokens
from batch.errors import BadRequestError, NotFoundError
from batch.events import Event, PoolSet, TeamSet
from batch.job_queue import Queue
from batch.model import JobSpec, Pool, Shape, Team
from batch.records import Job, JobFilter
from batch.scheduler import PolicyConfig, RecalledSweep, SchedulerState
from batch.states import JobState

_SILENCE_CHECK_S = 5.0

_log = logging.getLogger(__name__)


class Bell:
    """Wakes everyone who waits for the journal to grow. For the event loop only."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """Return whether it rang within `timeout_s`."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


class Service:
    """One controller. `start` and `stop` in the event loop that serves; `queue` is open, and stays so.

    `clock` is the machine's, by which tokens expire; all else goes by the queue's.
    """

    def __init__(
        self,
        queue: Queue,
        code_folder: Path,
        *,
        policy: PolicyConfig | None = None,
        clock: Callable[[], float] = time.time,
        rate_limits: RateLimits | None = None,
    ) -> None:
        self.queue = queue
        self.tokens = Tokens(queue, clock)
        self.limits = rate_limits or RateLimits()
        self.code = CodeStore(code_folder)
        self.journal = Bell()
        self.seq = 0
        self.started_s = time.monotonic()
        self._policy = policy or PolicyConfig()
        self._pools: dict[str, Pool] = {}
        self._teams: dict[str, Team] = {}
        self._possible: set[tuple[Shape, str | None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Rebuild what is known from the journal, and begin to schedule.

        What ran goes on: agents say what they have in their next sync.
        """
        self._event_loop = asyncio.get_running_loop()
        self.answers = Answers()
        await asyncio.to_thread(self._rebuild)
        self.scheduling.start()
        self._tasks = [asyncio.create_task(self._watch_silence())]

    async def stop(self) -> None:
        """Stop deciding. What runs goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.scheduling.stop)

    def admit(self, authorization: str | None, right: Right) -> Principal:
        """Return who asks. Raises NotAllowedError, and LimitError above the token's rate."""
        who = self.tokens.identify(authorization)
        self.limits.spend(who.name, who.role)
        who.check(right)
        return who

    def check_possible(self, specs: list[JobSpec]) -> None:
        """Raise for what could never start.

        ImpossibleShapeError; BadRequestError for more than the team's quota; NotFoundError for an unknown pool.
        """
        for spec in specs:
            self._check_quota(spec)
            wanted = (spec.shape, spec.pool)
            if wanted in self._possible:
                continue
            if spec.pool is not None and self._pools and spec.pool not in self._pools:
                known = ", ".join(sorted(self._pools))
                raise NotFoundError(f"there is no pool {spec.pool!r}; there are: {known}")
            check_possible(spec.shape, self._pools, spec.pool)
            self._possible.add(wanted)

    def _check_quota(self, spec: JobSpec) -> None:
        team = self._teams.get(spec.team)
        if team is not None and team.quota is not None and spec.shape.chips > team.quota:
            raise BadRequestError(
                f"team {team.name!r} has a quota of {team.quota} chips and the job wants {spec.shape.chips}: it could "
                "never start. Ask for less, or let an operator raise it: `ostinato team set --quota`"
            )

    def owned(self, who: Principal, uid: int) -> Job | None:
        """Return the job, None for a sweep. Raises NotAllowedError when `who` may not act on it."""
        try:
            job = self.queue.job(uid)
        except NotFoundError:
            template = self.queue.sweep(uid).spec.template
            who.check_job(template.team, template.user)
            return None
        who.check_job(job.spec.team, job.spec.user)
        return job

    def _rebuild(self) -> None:
        began_s = time.monotonic()
        state = SchedulerState(self._policy, self._recall)
        self.board = Board(self.queue)
        self.desk = AgentDesk(self.queue, self.board, _identity(self.queue), self.queue.clock)
        self.scheduling = SchedulingLoop(self.queue, self.board, state, self._tell, self.queue.clock)
        # Nothing is recorded before we serve, so that nothing falls between listening and replaying, or into both.
        self.seq = self.queue.listen(self._hear)
        self.desk.revision = self.seq
        count = 0
        # Of what is made now nothing is garbage, and it stays: looking through it would take a third of the time.
        gc.disable()
        try:
            for event in self.queue.replay():
                state.apply(event)
                count += 1
        finally:
            gc.freeze()
            gc.enable()
        state.ask_outcomes(self._outcome_of)
        self._pools, self._teams = self.queue.pools(), self.queue.teams()
        _log.info("rebuilt from %d events in %.2f s", count, time.monotonic() - began_s)

    def _recall(self, uid: int) -> tuple[JobSpec, float] | RecalledSweep:
        job = self.queue.job(uid)
        if job.sweep is None:
            return job.spec, job.submitted_s
        sweep = self.queue.sweep(job.sweep)
        members = self.queue.jobs(JobFilter(sweep=sweep.uid, limit=len(sweep.spec)))
        # What is not over has been run again in the same commit, and is told next.
        ended = {one.uid: (one.state.text if one.state.is_terminal else "cancelled", one.spec) for one in members}
        return RecalledSweep(sweep.uid, sweep.first_uid, sweep.spec, sweep.submitted_s, ended)

    def _outcome_of(self, uid: int) -> bool | None:
        try:
            states = {self.queue.job(uid).state}
        except NotFoundError:
            states = set(self.queue.sweep(uid).counts)
        return states == {JobState.SUCCEEDED} if all(state.is_terminal for state in states) else None

    def _hear(self, committed: "list[tuple[int, Event]]") -> None:
        for _, event in committed:
            if isinstance(event, TeamSet):
                self._teams = {**self._teams, event.team.name: event.team}
            elif isinstance(event, PoolSet):
                self._pools = {**self._pools, event.pool.name: event.pool}
                self._possible = set()
        self.scheduling.hear(committed)

    def _tell(self, pools: set[str], seq: int) -> None:
        """Pass on from the scheduling thread to whoever waits in the event loop."""
        try:
            self._event_loop.call_soon_threadsafe(self._told, pools, seq)
        except RuntimeError:  # the loop is closed: we are about to end
            _log.debug("events up to %d are told to nobody any more", seq)

    def _told(self, pools: set[str], seq: int) -> None:
        self.seq = seq
        self.desk.ring(pools, seq)
        self.journal.ring()

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(_SILENCE_CHECK_S)
            try:
                await asyncio.to_thread(self._record_silences)
            except Exception:  # noqa: BLE001 - an agent that is not looked for is no reason to stop the queue
                _log.exception("looking for silent agents failed; it is tried again in %g s", _SILENCE_CHECK_S)

    def _record_silences(self) -> None:
        found = list(self.desk.silences())
        if found:
            record_each(self.queue, found)
            self.board.refresh({event.uid for event in found})


def _identity(queue: Queue) -> str:
    """Return what no other database has: when its first event was, to the microsecond."""
    [(_, first)] = queue.events(0, 1)
    return sha256(repr(first.time_s).encode()).hexdigest()[:16]
