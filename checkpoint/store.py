"""The narrow protocol between checkpoints and whatever keeps objects."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: its key, size in bytes and time of last change (epoch seconds)."""

    key: str
    size_bytes: int
    modified_s: float


class Store(Protocol):
    """Keeps immutable objects under `/`-separated keys below one root. Every call has a deadline and retries.

    All methods block, are safe to call from several threads, and raise StoreError or one of its kinds:
    StoreUnavailable (after retries), StoreDenied, StoreFull, ObjectMissing.
    """

    url: str

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Store `data` under `key`; durable on return. Overwrites: for unique names and hints."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; durable on return. Return False, changing nothing, when `key` exists.

        After an unknown outcome (lost acknowledgement) the object is read back: True when it holds our bytes.
        A client that retries inside cannot tell its own lost acknowledgement from another writer of equal
        bytes, so callers that must be the only winner put something unique into `data`.
        """
        ...

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """Store the concatenation of `parts` as one object; durable on return.

        Each part is asked for once and may be kept until the call returns. When the call raises, whatever it
        raises and whatever `parts` raised, no object exists under `key`.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ObjectMissing."""
        ...

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """Return the bytes `[start, stop)` for each range, in order, fetched concurrently where that helps.

        A range that reaches past the end of the object gives what there is, possibly nothing. Raises
        ObjectMissing.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose key starts with `prefix`, in the order of their keys.

        Sees every object whose writing returned before the call. Objects that come or go meanwhile may be
        missed.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the keys; those that do not exist are no error."""
        ...

    def abort_uploads(self, older_than_s: float) -> int:
        """Abort unfinished multipart uploads (or remove temporary files) older than that. Return how many."""
        ...


def check_key(key: str) -> str:
    """Return `key` when every store can keep it: relative, `/`-separated, no empty, dotted or hidden segment.

    Raises ValueError otherwise.
    """
    if any(not segment or segment.startswith(".") for segment in key.split("/")):
        raise ValueError(
            f"key {key!r}: must be names separated by single slashes, none empty or starting with a dot"
        )
    return key
