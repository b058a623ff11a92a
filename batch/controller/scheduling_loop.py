"""The thread that decides: follows the journal, asks the scheduler, and makes what it decides durable.

It wakes when events are committed, and by itself once a second for what only time brings. Nothing that it decides
reaches an agent before it is on disk.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from batch.controller.board import Board
from batch.errors import ConflictError
from batch.events import Basis, Event, JobEvent, JobPlaced, JobStopping
from batch.job_queue import ANSWER_TIMEOUT_S, Queue
from batch.scheduler import Action, Place, Preempt, SchedulerState, decide

T = TypeVar("T")

_TICK_S = 1.0
_AFTER_FAILURE_S = 1.0
_REST = 9.0
"""The loop rests this many times as long as the last round took, so that a flood of submissions is not paid for with a
decision each, and the threads that answer requests get their turns."""
_MIN_REST_S, _MAX_REST_S = 0.01, 0.25
"""At the least, so that what comes while jobs are submitted one by one is heard together, and not at every commit."""

_log = logging.getLogger(__name__)

OnChange = Callable[[set[str], int], None]
"""Told the pools where a placement changed, and the newest sequence number; from this thread."""


class SchedulingLoop:
    """Owns the scheduler's state. `start` and `stop` by one thread; `ask` by any."""

    def __init__(
        self,
        queue: Queue,
        board: Board,
        state: SchedulerState,
        on_change: OnChange,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._board = board
        self._state = state
        self._on_change = on_change
        self._clock = clock
        self._heard: deque[tuple[int, Event]] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduling", daemon=True)
        self._touched: set[int] = set()
        self._seq = 0
        self._told = 0
        self.failure: str | None = None
        """Why the last round failed, or why the state is not to be trusted; None while all is well."""
        self._missed: str | None = None

    def start(self) -> None:
        """Begin to decide."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the round it is in."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def hear(self, committed: Sequence[tuple[int, Event]]) -> None:
        """Take events that are committed; the store's thread calls this, in order. Does not block."""
        self._heard.extend(committed)
        self._wake.set()

    def ask(self, question: Callable[[SchedulerState, float], T]) -> T:
        """Return what `question` says about the state, all that was committed before included.

        Blocks while a decision is made, some milliseconds.
        """
        with self._lock:
            self._take_in()
            return question(self._state, self._clock())

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(_TICK_S)
            self._wake.clear()
            began_s = time.monotonic()
            try:
                self._round()
                self.failure = self._missed
            except Exception as error:  # noqa: BLE001 - the queue must go on taking jobs, and say what is wrong
                self.failure = f"{type(error).__name__}: {error}"
                _log.exception("a round of the scheduler failed; the next one begins in %g s", _AFTER_FAILURE_S)
                time.sleep(_AFTER_FAILURE_S)
            time.sleep(max(_MIN_REST_S, min(_MAX_REST_S, _REST * (time.monotonic() - began_s))))

    def _round(self) -> None:
        self._follow()
        with self._lock:
            basis = Basis(seq=self._seq, time_s=self._clock())
            actions = decide(self._state, basis.time_s, explain=False)
        if self._act(actions, basis):
            self._follow()

    def _take_in(self) -> None:
        """Apply what was committed; with the lock held."""
        while self._heard:
            self._seq, event = self._heard.popleft()
            self._apply(self._seq, event)
            if isinstance(event, JobEvent) and (isinstance(event, JobPlaced) or self._board.has(event.uid)):
                self._touched.add(event.uid)

    def _apply(self, seq: int, event: Event) -> None:
        try:
            self._state.apply(event)
        except Exception as error:
            self._missed = (
                f"{type(error).__name__}: {error}, in event {seq}: some jobs may not be decided about until the "
                "controller is ended and started again, which reads the journal anew"
            )
            raise

    def _follow(self) -> None:
        """Take in what was committed, and wake the agents that it concerns."""
        with self._lock:
            self._take_in()
            touched, self._touched = self._touched, set()
        if self._seq > self._told:
            self._told = self._seq
            self._on_change(self._board.refresh(touched), self._told)

    def _act(self, actions: Sequence[Action], basis: Basis) -> bool:
        """Make placements and preemptions durable. What a person has overtaken meanwhile is decided anew."""
        asked: list[Future[JobPlaced] | Future[JobStopping]] = []
        for action in actions:
            if isinstance(action, Place):
                asked.append(self._queue.place_soon(action.uid, action.pool, action.nodes, basis=basis))
            elif isinstance(action, Preempt):
                reason = f"{action.reason} ({action.bill_s:.0f} chip-seconds)"
                asked.append(
                    self._queue.stop_soon(
                        action.uid, then="queued", reason=reason, beneficiary=action.beneficiary, basis=basis
                    )
                )
        for future in asked:
            try:
                future.result(ANSWER_TIMEOUT_S)
            except ConflictError as error:
                _log.info("overtaken: %s", error)
        return bool(asked)
