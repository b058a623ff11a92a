"""A queue in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.job_queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue.open(str(tmp_path / "queue.db")) as opened:
        yield opened
