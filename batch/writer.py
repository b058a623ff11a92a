"""One thread that writes; whatever is asked while a commit is under way shares the next one.

A commit costs one fsync (milliseconds) whatever is in it, so what counts is how many requests share it. While the disk
works, requests gather by themselves. When the thread finds fewer of them than the last commit had, the others are
probably about to ask again, having just been answered: it lingers for them, at most LINGER_S. A client on its own is
never made to wait.
"""

import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from batch.errors import StoreError

LINGER_S = 0.002
MAX_WEIGHT = 4096
"""Jobs or events in one commit, unless a single request has more."""
CLOSE_TIMEOUT_S = 30.0
C = TypeVar("C")
T = TypeVar("T")


class Request(Generic[C]):
    """What was asked: a function of the transaction, and the future of its result.

    `reads` are the keys of what the function is going to look up, so that one query can fetch them for the group.
    """

    __slots__ = ("future", "plan", "reads", "weight")

    def __init__(self, plan: Callable[[C], Any], weight: int, reads: Collection[int | str]) -> None:
        self.plan = plan
        self.weight = weight
        self.reads = reads
        self.future: Future[Any] = Future()


class Writer(Generic[C]):
    """Collects requests and has `commit` write them, group by group, in its own thread.

    `commit` answers the futures of the group. When it raises, the group and all later requests get the error: nobody
    would know what was written.
    """

    def __init__(self, commit: Callable[[list[Request[C]]], None]) -> None:
        self._commit = commit
        self._asked: queue.SimpleQueue[Request[C] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Return why nothing can be written any more; None as long as it can."""
        return None if self._failure is None else f"the queue's writer has stopped with {self._failure!r}"

    def ask(self, plan: Callable[[C], T], reads: Collection[int | str] = (), weight: int = 1) -> "Future[T]":
        """Return the future of `plan`'s result, set when it is committed. Does not block.

        `plan` is called by the writer's thread and either raises before it has changed anything or succeeds.
        """
        request = Request(plan, weight, reads)
        with self._lock:
            if self._closed:
                raise StoreError(f"the queue is closed{self._reason()}") from self._failure
            self._asked.put(request)
        return request.future

    def close(self) -> None:
        """Commit what was asked for and end the thread. A second call does nothing."""
        with self._lock:
            if self._closed and not self._thread.is_alive():
                return
            self._closed = True
            self._asked.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        group: list[Request[C]] = []
        last, is_last = 1, False
        try:
            while not is_last and (first := self._asked.get()) is not None:
                group = [first]
                group, is_last = self._gather(first, last)
                last = len(group)
                self._commit(group)
        except BaseException as error:  # noqa: BLE001 - handed to everybody who asks
            self._fail(group, error)

    def _gather(self, first: Request[C], expected: int) -> tuple[list[Request[C]], bool]:
        """Return the next group, and whether the end was asked for."""
        group, weight = [first], first.weight
        deadline_s = 0.0
        while weight < MAX_WEIGHT:
            try:
                request = self._asked.get_nowait()
            except queue.Empty:
                if len(group) >= expected:
                    break
                deadline_s = deadline_s or time.monotonic() + LINGER_S
                request = self._wait(deadline_s)
                if request is _NOTHING:
                    break
            if request is None:
                return group, True
            group.append(request)
            weight += request.weight
        return group, False

    def _wait(self, deadline_s: float) -> Any:
        try:
            return self._asked.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            return _NOTHING

    def _reason(self) -> str:
        return "" if self._failure is None else f": it stopped with {self._failure!r}; start the controller again"

    def _fail(self, group: list[Request[C]], error: BaseException) -> None:
        with self._lock:
            self._closed = True
            self._failure = error
        while not self._asked.empty():
            request = self._asked.get()
            if request is not None:
                group.append(request)
        for request in group:
            if not request.future.done():
                failure = StoreError(f"it is not known whether this was written{self._reason()}")
                failure.__cause__ = error
                request.future.set_exception(failure)


_NOTHING: Any = object()
