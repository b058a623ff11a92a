"""The thread that decides: follows the journal, asks the scheduler, and makes what it decides durable.

It wakes when events are committed, and by itself once a second for what only time brings. Nothing that it decides
reaches an agent before it is on disk.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from batch.controller.agent_desk import AgentDesk, record_each
from batch.controller.board import Board
from batch.events import Event, JobEvent, JobPlaced, JobStopping
from batch.queue import Queue
from batch.scheduler.actions import Action, Place, Preempt
from batch.scheduler.decide import decide
from batch.scheduler.state import SchedulerState
from batch.scheduler.why import Why, why

_TICK_S = 1.0
_SILENCE_CHECK_S = 5.0
_AFTER_FAILURE_S = 1.0
_REST = 3.0
"""The loop rests this many times as long as the last decision took, so that a flood of submissions is not paid for with
a decision each, and the threads that answer requests get their turns."""
_MAX_REST_S = 0.25

_log = logging.getLogger(__name__)

OnChange = Callable[[set[str], int], None]
"""Told the pools where a placement changed, and the newest sequence number; from this thread."""


class SchedulingLoop:
    """Owns the scheduler's state. `start` and `stop` by one thread; `ask` by any."""

    def __init__(
        self,
        queue: Queue,
        board: Board,
        desk: AgentDesk,
        on_change: OnChange,
        *,
        state: SchedulerState,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._board = board
        self._desk = desk
        self._on_change = on_change
        self._state = state
        self._clock = clock
        self._heard: deque[tuple[int, Event]] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="scheduling", daemon=True)
        self._seq = 0
        self._next_silence_check_s = 0.0
        self.failure: str | None = None
        """Why the last round failed; None while all is well."""

    def start(self) -> None:
        """Begin to decide."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the round it is in."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def hear(self, seq: int, event: Event) -> None:
        """Take an event that is committed; the store's thread calls this, in order. Does not block."""
        self._heard.append((seq, event))
        self._wake.set()

    def why(self, uid: int) -> Why:
        """Return why a job waits. Blocks while a decision is made, some milliseconds."""
        with self._lock:
            return why(self._state, uid, self._clock())
