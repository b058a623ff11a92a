"""The narrow protocol between checkpoints and whatever keeps objects."""

from collections.abc import Iterable, Iterator
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
        """Store `data` under `key`; durable on return. Overwrites: only for objects with a unique name or hints."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create `key` with `data`; durable on return. Return False, changing nothing, when `key` exists.

        After an unknown outcome (lost acknowledgement) the object is read back: True when it holds our bytes.
        """
        ...

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """Store the concatenation of `parts` as one object (multipart where the backend has it); durable on return."""
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ObjectMissing."""
        ...

    def get_ranges(self, key: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Return the bytes `[start, stop)` for each range, in order, fetched concurrently."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose key starts with `prefix`, in the order of their keys."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the keys; those that do not exist are no error."""
        ...

    def abort_uploads(self, older_than_s: float) -> int:
        """Abort unfinished multipart uploads (or remove temporary files) older than that. Return how many."""
        ...
