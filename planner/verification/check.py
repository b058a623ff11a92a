"""One published or measured number beside ours."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.errors import NoReferenceDataError

REFERENCE_DATA = "OSTINATO_REFERENCE_DATA"
"""The environment variable that names the folder of reference data."""


@dataclass(frozen=True, slots=True)
class Check:
    """A number from a source, ours beside it, and whether ours is within the tolerance of the source's digits."""

    name: str
    expected: float
    found: float
    is_met: bool
    tolerance: str
    """In words: "printed digits", "1e-8 relative", "at most"."""
    source: str
    note: str = ""
    """What else is to be said of it. It excuses nothing."""
    is_known_miss: bool = False
    """Whether it is missed by the value that known_misses.py has."""

    @property
    def has_failed(self) -> bool:
        """Whether it is missed, and was not before."""
        return not self.is_met and not self.is_known_miss


Suite = Callable[[], Sequence[Check]]
"""Computes the checks of one source. Raises NoReferenceDataError where its files are not there."""


def reference_file(*parts: str) -> Path:
    """Return a file below the folder of reference data. Raises NoReferenceDataError."""
    folder = os.environ.get(REFERENCE_DATA)
    if not folder:
        raise NoReferenceDataError(f"{REFERENCE_DATA} is not set: it names the folder with {'/'.join(parts)}")
    path = Path(folder, *parts)
    if not path.is_file():
        raise NoReferenceDataError(f"{path} is not there; {REFERENCE_DATA} = {folder}")
    return path
