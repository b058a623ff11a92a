"""A controller of a queue of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_controller import Served, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as found:
        yield found
