"""From the store's thread to whoever awaits in the event loop: one wake-up for all that one commit answers.

Waking the loop for each future alone costs a system call and a turn of the interpreter's lock each, while the next
commit waits for that lock.
"""

import asyncio
import logging
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Answers:
    """Made in the event loop that awaits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_called = False

    async def of(self, future: "Future[T]") -> T:
        """Return the result of `future`, or raise its error. Whoever stops waiting does not take the request back."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(lambda done: self._arrived(waiter, done))
        return await waiter

    def _arrived(self, waiter: "asyncio.Future[Any]", done: "Future[Any]") -> None:
        """Note a result; in the thread that sets it."""
        self._ready.append((waiter, done))
        if self._is_called:
            return  # what is delivered next includes this: the flag is taken down before anything is
        self._is_called = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.debug("an answer comes after the end")

    def _deliver(self) -> None:
        self._is_called = False
        while self._ready:
            waiter, done = self._ready.popleft()
            if waiter.done():  # its connection has ended
                continue
            error = done.exception()
            if error is None:
                waiter.set_result(done.result())
            else:
                waiter.set_exception(error)
