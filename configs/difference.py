"""Two resolved configurations side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.documents import flatten
from configs.fingerprint import is_elastic

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that differs. `elastic`: it may change when a run continues, and does not change the result."""

    path: str
    left: Any
    right: Any
    elastic: bool


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Return the keys that differ between two documents, sorted by path; a side without the key has None."""
    ours, theirs = dict(flatten(left)), dict(flatten(right))
    return [
        Difference(path, ours.get(path), theirs.get(path), is_elastic(path, left) and is_elastic(path, right))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path, _ABSENT) != theirs.get(path, _ABSENT)
    ]
