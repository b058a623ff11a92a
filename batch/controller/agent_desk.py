"""Where agents are served: takes in what they report, answers what they should do, and notices when one is silent."""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from batch.agent.messages import MAX_WAIT_S, AttemptStatus, LogChunk, LogRequest, SyncAnswer, SyncRequest
from batch.controller.board import Board
from batch.controller.outcomes import lost
from batch.controller.reconcile import Orders, news, orders
from batch.errors import ConflictError, ControllerError, NotFoundError, PoolTakenError
from batch.events import JobEvent, JobUnknown
from batch.job_queue import Queue
from batch.model import Pool
from batch.states import JobState

SILENT_AFTER_S = 30.0
"""An agent that says nothing for so long: what it runs is unknown."""
LOST_AFTER_S = 600.0
"""What has been unknown for so long is queued again; an attempt that turns up later has too old a fence."""
_REPEAT_S = 2.0
"""Orders that were answered and not obeyed yet are repeated after this."""
_LOG_WAIT_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Agent:
    """What is known of the agent of one pool. `statuses` are those of its newest request, `over` the jobs of
    those that have ended, as far as they are over themselves."""

    heard_s: float
    sequence: int = -1
    name: str = ""
    statuses: tuple[AttemptStatus, ...] = ()
    trouble: str = ""
    over: frozenset[int] = frozenset()
    answered: Orders = field(default_factory=Orders)
    lock: threading.Lock = field(default_factory=threading.Lock)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    log_requests: dict[str, tuple[LogRequest, "asyncio.Future[LogChunk]"]] = field(default_factory=dict)


class AgentDesk:
    """Lives in the event loop; what waits for the disk runs in threads. One for a controller."""

    def __init__(self, queue: Queue, board: Board, identity: str, clock: Callable[[], float] = time.time) -> None:
        """Serve agents of the queue that is called `identity`, which is the same as long as its database is."""
        self._queue = queue
        self._identity = identity
        self._instance = secrets.token_hex(8)
        self._board = board
        self._clock = clock
        self._agents: dict[str, _Agent] = {}
        self._started_s = time.monotonic()
        self.revision = 0

    async def sync(self, pool: str, request: SyncRequest) -> SyncAnswer:
        """Take in a request of the agent of `pool`, and answer it when there is something to say.

        Raises ConflictError for the jobs of another queue: the same uid, attempt and fence mean another job here.
        Raises PoolTakenError for another agent than the one that has the pool.
        """
        if request.queue not in {"", self._identity}:
            raise ConflictError(
                f"agent {request.agent} of pool {pool!r} has the jobs of another queue: the database of this "
                "controller was replaced, or the agent is another controller's. Its jobs go on. Bring the database "
                "back, or start an agent with another --folder for this queue"
            )
        agent = self._agents.setdefault(pool, _Agent(self._started_s))
        deadline_s = time.monotonic() + min(request.wait_s, MAX_WAIT_S)
        if not await asyncio.to_thread(self._take_in, pool, agent, request):
            return await self._turn_away(pool, agent, request)
        self._take_chunks(agent, request)
        while request.agent == agent.name:
            agent.bell.clear()
            revision = self.revision
            found = orders(self._board.placed(pool), agent.statuses, agent.over)
            wanted = tuple(asked for asked, _ in agent.log_requests.values())
            left_s = deadline_s - time.monotonic()
            if wanted or found != agent.answered or left_s <= 0 or request.sequence < agent.sequence:
                agent.answered = found
                return SyncAnswer(
                    revision=revision,
                    queue=self._identity,
                    instance=self._instance,
                    start=found.start,
                    stop=found.stop,
                    limit=found.limit,
                    forget=found.forget,
                    log_requests=wanted,
                )
            if found:
                deadline_s = min(deadline_s, time.monotonic() + _REPEAT_S)
            try:
                await asyncio.wait_for(agent.bell.wait(), max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                continue
        return await self._turn_away(pool, agent, request)  # another one has taken its place meanwhile

    def ring(self, pools: set[str], revision: int) -> None:
        """Wake the requests that wait in `pools`; called in the event loop, after the board has changed."""
        self.revision = max(self.revision, revision)
        for pool in pools:
            if pool in self._agents:
                self._agents[pool].bell.set()

    async def read_log(self, pool: str, request: LogRequest) -> LogChunk:
        """Return a piece of a log from the agent of `pool`. Raises ControllerError when it does not answer in 10 s."""
        agent = self._agents.get(pool)
        if agent is None or self.silent_s(pool) > SILENT_AFTER_S:
            raise ControllerError(f"the agent of pool {pool!r} is silent, and has the logs; see `ostinato pool ls`")
        answer: asyncio.Future[LogChunk] = asyncio.get_running_loop().create_future()
        agent.log_requests[request.key] = (request, answer)
        agent.bell.set()
        try:
            return await asyncio.wait_for(answer, _LOG_WAIT_S)
        except TimeoutError:
            raise ControllerError(
                f"the agent of pool {pool!r} did not send the log within {_LOG_WAIT_S:g} s: try again"
            ) from None
        finally:
            agent.log_requests.pop(request.key, None)

    def silent_s(self, pool: str) -> float:
        """Return for how long the agent of `pool` has said nothing; since this process began, if it never has."""
        agent = self._agents.get(pool)
        return time.monotonic() - (self._started_s if agent is None else agent.heard_s)

    def trouble(self, pool: str) -> str:
        """Return what is wrong where the agent of `pool` is, in its words; empty when nothing is."""
        agent = self._agents.get(pool)
        return "" if agent is None else agent.trouble

    def silences(self) -> Iterator[JobEvent]:
        """Yield what follows from silence: jobs of silent agents are unknown, and much later lost."""
        now_s = self._clock()
        for pool in self._board.pools():
            silent_s = self.silent_s(pool)
            if silent_s < SILENT_AFTER_S:
                continue
            for job in self._board.placed(pool).values():
                if job.state is not JobState.UNKNOWN:
                    yield JobUnknown(time_s=now_s, uid=job.uid, attempt=job.attempt)
                elif silent_s > LOST_AFTER_S:
                    text = f"the agent of pool {pool!r} has been silent for {silent_s:.0f} s"
                    yield lost(job, self._board.spent(job.uid), now_s, text)

    def _take_chunks(self, agent: _Agent, request: SyncRequest) -> None:
        for chunk in request.log_chunks:
            _, answer = agent.log_requests.pop(chunk.key, (None, None))
            if answer is not None and not answer.done():
                answer.set_result(chunk)

    def _take_in(self, pool: str, agent: _Agent, request: SyncRequest) -> bool:
        """Make durable what the request says; return False, and do nothing, when another agent has the pool.

        Runs in a thread; one at a time for each pool.
        """
        with agent.lock:
            known = self._queue.pools().get(pool, Pool(name=pool))
            if not self._may_speak(agent, known, request):
                return False
            agent.heard_s = time.monotonic()
            self._skip_uids(pool, request.highest_uid)
            if request.sequence <= agent.sequence:
                return True
            agent.name, agent.sequence, agent.statuses = request.agent, request.sequence, request.attempts
            if agent.trouble != request.trouble:
                _log.warning("pool %s: %s", pool, request.trouble or f"no more: {agent.trouble}")
                agent.trouble = request.trouble
            if (known.nodes, known.agent) != (request.nodes, request.agent):
                self._queue.set_nodes(pool, request.nodes, request.agent)
            found = list(news(self._board.placed(pool), request.attempts, self._board.spent, self._clock()))
            if found:
                record_each(self._queue, found)
                self._board.refresh({event.uid for event in found})
            ended = {status.uid for status in request.attempts if status.ended is not None}
            agent.over = frozenset(uid for uid in ended if self._is_over(uid))
            return True

    def _skip_uids(self, pool: str, highest: int) -> None:
        """Give out no uid that the agent has seen: the database does not know it when it is an older copy."""
        if highest < self._queue.next_uid:
            return
        _log.warning(
            "pool %s has had jobs up to uid %d, and this database none above %d: it was restored from an older copy. "
            "What was submitted since is lost; its ids are not given out again",
            pool, highest, self._queue.next_uid - 1,
        )  # fmt: skip
        self._queue.skip_uids(highest)

    def _is_over(self, uid: int) -> bool:
        try:
            return self._queue.job(uid).state.is_terminal
        except NotFoundError:
            return False

    def _may_speak(self, agent: _Agent, known: Pool, request: SyncRequest) -> bool:
        """Return whether the request is from the agent that has the pool, or from one that may have its place now."""
        holder = agent.name or known.agent
        if holder in {"", request.agent}:
            return True
        silent_s = time.monotonic() - agent.heard_s
        if silent_s <= SILENT_AFTER_S and not request.take_over:
            return False
        _log.warning(
            "pool %s: agent %s takes the place of %s, silent for %.0f s", known.name, request.agent, holder, silent_s
        )
        agent.sequence = -1
        return True

    async def _turn_away(self, pool: str, agent: _Agent, request: SyncRequest) -> SyncAnswer:
        """Refuse an agent whose place another has, after it has ended what nobody wants of it any more.

        Raises PoolTakenError. What is placed elsewhere, as when it was started for another pool than before, goes on.
        """
        found = orders(self._board.find(each.uid for each in request.attempts), request.attempts)
        if found.stop or found.forget:
            await asyncio.sleep(min(request.wait_s, _REPEAT_S))
            return SyncAnswer(
                revision=self.revision,
                queue=self._identity,
                instance=self._instance,
                stop=found.stop,
                forget=found.forget,
            )
        raise PoolTakenError(
            f"pool {pool!r} has another agent, which spoke {time.monotonic() - agent.heard_s:.0f} s ago: end that one "
            f"(this one may start {SILENT_AFTER_S:.0f} s after its last word), give this one another --pool, or "
            "start it with --take-over, which ends what the other one runs"
        )


def record_each(queue: Queue, events: Sequence[JobEvent]) -> None:
    """Record `events` at once; when one does not fit any more, each that still does.

    Between looking and recording a person may have cancelled a job. What no longer fits is dropped: the next look
    sees how things are now.
    """
    try:
        queue.record(*events)
        return
    except ConflictError:
        if len(events) == 1:
            return
    for event in events:
        try:
            queue.record(event)
        except ConflictError as error:
            _log.info("overtaken: %s", error)


def log_request(uid: int, attempt: int, rank: int, offset: int, limit_bytes: int) -> LogRequest:
    """Return a request under a key of its own."""
    return LogRequest(
        key=secrets.token_hex(8), uid=uid, attempt=attempt, rank=rank, offset=offset, limit_bytes=limit_bytes
    )
