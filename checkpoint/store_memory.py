"""A store in memory with scripted faults: the fake for tests, kept honest by the contract suite."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from checkpoint.errors import ObjectMissing
from checkpoint.store import ObjectInfo, check_key

_WRITES = frozenset({"put", "put_if_absent", "put_stream"})
_READS = frozenset({"get", "get_ranges", "list"})
_ALL = _WRITES | _READS | {"delete"}


@dataclass(slots=True)
class _Fault:
    calls: frozenset[str]
    prefix: str
    remaining: int
    error: BaseException
    applied: bool


class MemoryStore:
    """A Store whose calls can be told to fail. Thread-safe; the objects live as long as this instance.

    `unfired` counts scripted faults that have not happened; tests assert that it is 0. `calls` lists (method,
    key).
    """

    def __init__(self, name: str = "memory") -> None:
        self.url = f"memory://{name}"
        self.calls: list[tuple[str, str]] = []
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._faults: list[_Fault] = []
        self._lock = threading.RLock()

    @property
    def unfired(self) -> int:
        """How many scripted faults have not happened yet."""
        return len(self._faults)

    def fail_put(
        self, *, nth: int = 1, error: BaseException, applied: bool = False, prefix: str = ""
    ) -> None:
        """Let the nth writing call from now, on a key with `prefix`, raise `error`.

        `applied`: the object is stored all the same, as when the acknowledgement is lost.
        """
        self._faults.append(_Fault(_WRITES, prefix, nth, error, applied))

    def fail_get(self, *, nth: int = 1, error: BaseException, prefix: str = "") -> None:
        """Let the nth reading call from now, on a key or listing with `prefix`, raise `error`."""
        self._faults.append(_Fault(_READS, prefix, nth, error, applied=False))

    def fail_call(self, *, nth: int = 1, error: BaseException, applied: bool = False) -> None:
        """Let the nth call of any kind from now raise `error`, before or (`applied`) after its effect."""
        self._faults.append(_Fault(_ALL, "", nth, error, applied))

    def damage(self, key: str, offset: int, mask: int = 0xFF) -> None:
        """Flip the bits of `mask` in one byte of a stored object."""
        with self._lock:
            data, modified_s = self._objects[key]
            changed = bytearray(data)
            changed[offset] ^= mask
            self._objects[key] = (bytes(changed), modified_s)

    def truncate(self, key: str, size_bytes: int) -> None:
        """Cut a stored object to its first `size_bytes`."""
        with self._lock:
            data, modified_s = self._objects[key]
            self._objects[key] = (data[:size_bytes], modified_s)

    def set_age(self, key: str, age_s: float) -> None:
        """Pretend that a stored object was last changed `age_s` ago."""
        with self._lock:
            self._objects[key] = (self._objects[key][0], time.time() - age_s)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """See Store."""
        self._write("put", key, bytes(data), only_if_absent=False)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store."""
        return self._write("put_if_absent", key, bytes(data), only_if_absent=True)

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """See Store."""
        self._write("put_stream", key, b"".join(parts), only_if_absent=False)

    def get(self, key: str) -> bytes:
        """See Store."""
        self._enter("get", key)
        return self._read(key)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """See Store."""
        self._enter("get_ranges", key)
        data = memoryview(self._read(key))
        return [data[start:stop] for start, stop in ranges]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        self._enter("list", prefix)
        with self._lock:
            found = [
                ObjectInfo(key, len(data), modified_s)
                for key, (data, modified_s) in sorted(self._objects.items())
                if key.startswith(prefix)
            ]
        return iter(found)

    def delete(self, keys: Iterable[str]) -> None:
        """See Store."""
        for key in keys:
            fault = self._enter("delete", key)
            with self._lock:
                self._objects.pop(key, None)
            if fault:
                raise fault.error

    def abort_uploads(self, older_than_s: float) -> int:
        """See Store."""
        return 0

    def _read(self, key: str) -> bytes:
        with self._lock:
            if key not in self._objects:
                raise ObjectMissing(f"{self.url}/{key}: no such object")
            return self._objects[key][0]

    def _write(self, call: str, key: str, data: bytes, *, only_if_absent: bool) -> bool:
        check_key(key)
        with self._lock:
            fault = self._enter(call, key)
            absent = key not in self._objects
            if absent or not only_if_absent:
                self._objects[key] = (data, time.time())
            if fault:
                raise fault.error
            return absent

    def _enter(self, call: str, key: str) -> _Fault | None:
        """Record the call. Raise a due fault; return one that is due after the effect."""
        with self._lock:
            self.calls.append((call, key))
            due = []
            for fault in self._faults:
                if call in fault.calls and key.startswith(fault.prefix):
                    fault.remaining -= 1
                    if fault.remaining == 0:
                        due.append(fault)
            for fault in due:
                self._faults.remove(fault)
            if due and not (due[0].applied and call not in _READS):
                raise due[0].error
            return due[0] if due else None
