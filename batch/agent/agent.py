"""The agent: keeps one pool's attempts as the controller wants them, and tells it how they are.

Three threads. The main one owns the attempts and launchers, and never waits for the network: while the controller is
away, everything that runs goes on, and its end is told later. Two talk: one holds a request open, so that it hears of
new leases at once, one brings news. See messages.py for why any of these may fail, or come twice, at any time.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batch.agent.attempts import Attempts
from batch.agent.controller_link import Backoff, ControllerLink
from batch.agent.held_leases import AgentFolder
from batch.agent.messages import MAX_WAIT_S, AttemptStatus, LogChunk, SyncAnswer, SyncRequest
from batch.agent.node_processes import NodeProcesses
from batch.errors import BatchQueueError, ControllerUnreachable, PoolTakenError
from batch.model import Node

_LOG = logging.getLogger(__name__)
_NODES_EVERY_S = 5.0
_LEAVE_TIMEOUT_S = 2.0
_TAKEN_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What the talking threads tell; replaced as a whole by the main thread."""

    nodes: tuple[Node, ...] = ()
    attempts: tuple[AttemptStatus, ...] = ()
    trouble: str = ""


class Agent:
    """One agent process. `run` blocks in the main thread; `stop` is called from a signal handler or another thread."""

    def __init__(
        self,
        folder: AgentFolder,
        attempts: Attempts,
        processes: NodeProcesses,
        connect: Callable[[], ControllerLink],
        *,
        wait_s: float = MAX_WAIT_S,
        take_over: bool = False,
        succeed: bool = False,
    ) -> None:
        """`connect` makes one link for each talking thread. `wait_s`: how long a request may be held.

        `take_over`: have the place of an agent of the pool that lives. `succeed`: ask for it until that one is gone.
        """
        self._folder = folder
        self._attempts = attempts
        self._processes = processes
        self._connect = connect
        self._wait_s = wait_s
        self._take_over = take_over
        self._succeed = succeed
        self._answers: queue.SimpleQueue[SyncAnswer] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._news = threading.Event()
        self._told = threading.Lock()
        self._sequence = folder.first_sequence
        self._revision = -1
        self._instance = ""
        self._known = _Known()
        self._chunks: dict[str, LogChunk] = {}
        self._fatal: PoolTakenError | None = None

    def run(self) -> None:
        """Serve until `stop`; what runs is left running.

        A controller that turns out to be another queue's is not obeyed: what runs goes on, each try says why in the
        log, and when the right one is back, all goes on. Raises PoolTakenError when another agent has the pool, unless
        it is to be succeeded.
        """
        self._look(0.0)
        threads = [
            threading.Thread(target=self._talk, args=(waits,), name=f"agent-sync-{waits}", daemon=True)
            for waits in (True, False)
        ]
        for thread in threads:
            thread.start()
        nodes_s = time.monotonic()
        while not self._stop.is_set():
            self._wake.wait(self._attempts.next_look_s())
            self._wake.clear()
            nodes_s = self._look(nodes_s)
        self._news.set()
        for thread in threads:
            thread.join(_LEAVE_TIMEOUT_S / len(threads))
        self._attempts.close()
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """Leave soon."""
        self._stop.set()
        self._wake.set()

    def _look(self, nodes_s: float) -> float:
        """Obey what has been answered, look after the attempts, and publish how they are."""
        news = False
        while not self._answers.empty():
            news |= self._obey(self._answers.get())
        news |= self._attempts.look()
        nodes = self._known.nodes
        if not nodes or time.monotonic() - nodes_s > _NODES_EVERY_S:
            nodes_s = time.monotonic()
            nodes = self._processes.nodes()
            self._attempts.trouble.probe()
        trouble = self._attempts.trouble.text
        news |= (nodes, trouble) != (self._known.nodes, self._known.trouble)
        self._known = _Known(nodes, self._attempts.statuses(), trouble)
        if news:
            self._news.set()
        return nodes_s

    def _obey(self, answer: SyncAnswer) -> bool:
        """Do what an answer says; return whether there is something to tell at once."""
        for request in answer.log_requests:
            self._chunks[request.key] = self._attempts.read_log(request)
        if answer.instance != self._instance:
            self._instance, self._revision = answer.instance, -1
        if answer.revision < self._revision:
            return bool(answer.log_requests)
        self._revision = answer.revision
        for stop in answer.stop:
            self._attempts.stop(stop)
        for limit in answer.limit:
            self._attempts.limit(limit)
        for forget in answer.forget:
            self._attempts.forget(forget)
        for grant in answer.start:
            self._attempts.take(grant)
        return bool(answer.log_requests or answer.stop or answer.limit or answer.start)

    def _talk(self, waits: bool) -> None:
        """Tell and listen until the end: again and again with a request that waits, or when there is news."""
        link = self._connect()
        backoff = Backoff(most_s=link.most_pause_s)
        while not self._stop.is_set():
            if not waits:
                self._news.wait()
                self._news.clear()
                if self._stop.is_set():
                    break
            try:
                self._sync(link, self._wait_s if waits else 0.0)
                backoff.reset()
            except PoolTakenError as error:
                if self._succeed:
                    _LOG.info("%s", error)
                    self._stop.wait(_TAKEN_PAUSE_S)
                else:
                    self._fatal = error
                    self.stop()
            except (BatchQueueError, OSError) as error:  # OSError: of the own folder, when its disk is full
                _LOG.log(_level(error), "%s", error)
                self._stop.wait(backoff.next_s())
                self._news.set()
        link.close()

    def _sync(self, link: ControllerLink, wait_s: float) -> None:
        with self._told:
            self._sequence += 1
            known, chunks = self._known, tuple(self._chunks.values())
            request = SyncRequest(
                agent=self._folder.agent,
                sequence=self._sequence,
                wait_s=wait_s,
                nodes=known.nodes,
                attempts=known.attempts,
                log_chunks=chunks,
                queue=self._folder.queue,
                highest_uid=self._folder.highest_uid,
                take_over=self._take_over,
                trouble=known.trouble,
            )
        answer = link.sync(request)
        self._take_over = False
        with self._told:
            self._folder.belong_to(answer.queue)
        self._delivered(chunks)
        self._answers.put(answer)
        self._wake.set()

    def _delivered(self, chunks: Sequence[LogChunk]) -> None:
        for chunk in chunks:
            self._chunks.pop(chunk.key, None)


def _level(error: Exception) -> int:
    return logging.INFO if isinstance(error, ControllerUnreachable) else logging.WARNING
