"""Every kind of database the queue can live in, new for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batch.job_queue import Queue

KINDS = ("sqlite",)
OpenQueue = Callable[[], Queue]


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def open_queue(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[OpenQueue]:
    """A function that opens the same queue, again after it was closed."""
    opened: list[Queue] = []

    def open_it() -> Queue:
        opened.append(Queue.open(f"{request.param}:///{tmp_path}/queue.db", clock=clock))
        return opened[-1]

    yield open_it
    for queue in opened:
        queue.close()


@pytest.fixture
def queue(open_queue: OpenQueue) -> Queue:
    return open_queue()
