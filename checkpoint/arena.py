"""One rank's snapshots in shared memory: a file of three slots with a fixed layout. Knows no torch.

```
[file header 4 KiB][layout: JSON, whole pages][slot 0][slot 1][slot 2]
slot: [seal 4 KiB][meta: JSON, whole pages][tensor data, whole pages]
```

A slot counts only while it is sealed. Its seal is erased before anything else in the slot is written, and written
after everything else; it carries its own checksum, so that a half-written seal is none. Whoever dies in between
leaves an unsealed slot and, in the others, older snapshots that are still whole. Three slots: one may be pinned
while it is made durable, one is always sealed, one is being written.
"""

import contextlib
import errno
import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from checkpoint.errors import ArenaError
from checkpoint.manifest import Entry
from checkpoint.state import Json

SLOTS = 3
PAGE_BYTES = mmap.PAGESIZE
_VERSION = 1
_FILE = struct.Struct("<8sIIQQQ")
_FILE_MAGIC = b"OSTARENA"
_SEAL = struct.Struct("<8sqQQQQQ")
_SEAL_MAGIC = b"OSTSEAL\0"
_HASH = struct.Struct("<Q")
SEAL_BYTES = _SEAL.size + _HASH.size
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14: maps pages now, so that no snapshot pays the page faults."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Whose arena it is, and what lies where in a slot's data. Offsets are bytes from the start of the data."""

    rank: int
    world_size: int
    fence: int
    generation: int
    entries: tuple[Entry, ...]
    offsets: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        """Size in bytes of a slot's data: up to the end of the last entry."""
        return max((o + e.size_bytes for e, o in zip(self.entries, self.offsets, strict=True)), default=0)

    def to_json(self) -> bytes:
        """Return the layout as stored in the arena."""
        entries = [[e.name, e.kind, e.dtype, list(e.shape), e.start, e.stop] for e in self.entries]
        owner = [self.rank, self.world_size, self.fence, self.generation]
        return json.dumps({"owner": owner, "entries": entries, "offsets": self.offsets}).encode()

    @staticmethod
    def from_json(data: bytes) -> "Layout":
        """Return the layout that `to_json` wrote."""
        fields = json.loads(data)
        entries = tuple(Entry(n, k, d, tuple(shape), a, b) for n, k, d, shape, a, b in fields["entries"])
        rank, world_size, fence, generation = fields["owner"]
        return Layout(rank, world_size, fence, generation, entries, tuple(fields["offsets"]))


@dataclass(frozen=True, slots=True)
class Seal:
    """A sealed slot: which snapshot it holds. Two seals are equal only when the slot was not written in between."""

    slot: int
    step: int
    meta_bytes: int
    data_bytes: int
    meta_hash: int
    data_hash: int | None


class Arena:
    """A mapped arena. One process, the rank, writes; any process of the same user may read sealed slots."""

    def __init__(self, path: Path, layout: Layout, view: mmap.mmap, meta_capacity: int, *, writable: bool) -> None:
        self.path = path
        self.layout = layout
        self.writable = writable
        self.pinned: set[int] = set()
        """Slots that the writer must not touch, because somebody is making them durable."""
        self._mmap = view
        self._bytes = memoryview(view)
        self._meta_capacity = meta_capacity
        self._slot_bytes = PAGE_BYTES + _pages(meta_capacity) + _pages(layout.data_bytes)
        self._first_slot = PAGE_BYTES + _pages(len(layout.to_json()))
        self._allocated = set(range(SLOTS)) if not writable else set()

    @classmethod
    def create(cls, path: Path, layout: Layout, *, meta_capacity: int, reclaimable_bytes: int = 0) -> "Arena":
        """Create the arena of one rank; its memory is there when this returns.

        `reclaimable_bytes` is memory of older arenas, freed when this one holds a snapshot: while they still fill
        the shared memory only one slot is allocated, and the others when first used. Raises ArenaError when the
        memory is too small, or when the arena exists (it may hold the only copy of somebody's state).
        """
        text = layout.to_json()
        slot_bytes = PAGE_BYTES + _pages(meta_capacity) + _pages(layout.data_bytes)
        first_slot = PAGE_BYTES + _pages(len(text))
        needed = first_slot + SLOTS * slot_bytes
        free = _free_bytes(path.parent)
        if needed > free + reclaimable_bytes:
            raise _too_small(path, needed, free + reclaimable_bytes)
        header = _FILE.pack(_FILE_MAGIC, _VERSION, SLOTS, len(text), xxhash.xxh3_64_intdigest(text), meta_capacity)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, needed)
            os.pwrite(descriptor, header + _HASH.pack(xxhash.xxh3_64_intdigest(header)), 0)
            os.pwrite(descriptor, text, PAGE_BYTES)
            arena = cls(path, layout, mmap.mmap(descriptor, needed), meta_capacity, writable=True)
            os.link(temporary, path)
        except FileExistsError:
            raise ArenaError(
                f"{path} exists: rank {layout.rank} of fence {layout.fence}, generation {layout.generation} was "
                "started before; give each restart a higher generation, or a new fence"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _too_small(path, needed, _free_bytes(path.parent)) from None
            raise ArenaError(f"cannot create {path}: {error}") from error
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
        try:
            for slot in range(SLOTS):
                if slot == 0 or slot_bytes <= _free_bytes(path.parent):
                    arena._allocate(slot)
        except ArenaError:
            path.unlink(missing_ok=True)
            raise
        return arena

    @classmethod
    def open(cls, path: Path) -> "Arena":
        """Map an existing arena for reading. Raises ArenaError when it is missing, damaged or of another version."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # A private mapping: sees what the owner writes, and cannot change it.
                view = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            raise ArenaError(f"cannot open {path}: {error}") from error
        header, checksum = view[: _FILE.size], view[_FILE.size : _FILE.size + _HASH.size]
        if checksum != _HASH.pack(xxhash.xxh3_64_intdigest(header)):
            raise ArenaError(f"{path}: the header is damaged, or the file is no arena")
        _, version, slots, text_bytes, text_hash, meta_capacity = _FILE.unpack(header)
        text = view[PAGE_BYTES : PAGE_BYTES + text_bytes]
        if version != _VERSION or slots != SLOTS:
            raise ArenaError(f"{path}: version {version} with {slots} slots; this program reads version {_VERSION}")
        if xxhash.xxh3_64_intdigest(text) != text_hash:
            raise ArenaError(f"{path}: the layout is damaged")
        arena = cls(path, Layout.from_json(text), view, meta_capacity, writable=False)
        if arena._slot(SLOTS) != len(view):
            raise ArenaError(f"{path}: has {len(view)} bytes, its layout needs {arena._slot(SLOTS)}")
        return arena

    def begin(self, slot: int) -> memoryview:
        """Erase the seal of `slot` and return its data for writing. Call `seal` when all of it is written."""
        self._allocate(slot)
        start = self._slot(slot)
        self._bytes[start : start + SEAL_BYTES] = bytes(SEAL_BYTES)
        return self.data(slot)

    def seal(self, slot: int, step: int, meta: Mapping[str, Json], *, hash_data: bool = False) -> Seal:
        """Make `slot` the snapshot of `step`. `hash_data` lets readers verify the tensor data too (10 GB/s).

        Raises ArenaError when `meta` is larger than the arena was created for.
        """
        text = json.dumps(meta, separators=(",", ":")).encode()
        if len(text) > self._meta_capacity:
            raise ArenaError(
                f"{self.path}: scalars and extra of step {step} take {len(text)} bytes as JSON, at most "
                f"{self._meta_capacity} fit: keep `extra` of about one size, or put large data into buffers"
            )
        start = self._slot(slot)
        self._bytes[start + PAGE_BYTES : start + PAGE_BYTES + len(text)] = text
        data = self.data(slot)
        data_hash = xxhash.xxh3_64_intdigest(data) if hash_data else None
        meta_hash = xxhash.xxh3_64_intdigest(text)
        seal = Seal(slot, step, len(text), len(data), meta_hash, data_hash)
        # One page, one writer, and the checksum last: whatever part of these bytes gets there, only all are a seal.
        self._bytes[start : start + SEAL_BYTES] = _pack_seal(seal)
        return seal

    def read_seal(self, slot: int) -> Seal | None:
        """Return the seal of `slot`, or None while it is not sealed."""
        start = self._slot(slot)
        return _unpack_seal(slot, bytes(self._bytes[start : start + SEAL_BYTES]))

    def sealed(self) -> list[Seal]:
        """Return the seals of all sealed slots, newest step first."""
        seals = [seal for seal in map(self.read_seal, range(SLOTS)) if seal]
        return sorted(seals, key=lambda seal: seal.step, reverse=True)

    def meta(self, seal: Seal) -> dict[str, Any]:
        """Return what was sealed beside the data. Raises ArenaError when it does not match its checksum."""
        start = self._slot(seal.slot) + PAGE_BYTES
        text = bytes(self._bytes[start : start + min(seal.meta_bytes, self._meta_capacity)])
        if xxhash.xxh3_64_intdigest(text) != seal.meta_hash:
            raise ArenaError(f"{self.path}: the meta data of step {seal.step} is damaged, or was overwritten")
        fields: dict[str, Any] = json.loads(text)
        return fields

    def data(self, slot: int) -> memoryview:
        """Return the tensor data of `slot`."""
        start = self._slot(slot) + PAGE_BYTES + _pages(self._meta_capacity)
        return self._bytes[start : start + self.layout.data_bytes]

    def entry_data(self, slot: int) -> list[memoryview]:
        """Return the bytes of each entry of the layout in `slot`."""
        data = self.data(slot)
        layout = self.layout
        return [data[o : o + e.size_bytes] for e, o in zip(layout.entries, layout.offsets, strict=True)]

    def intact(self, seal: Seal) -> bool:
        """Tell whether the slot still holds what `seal` says, its data included where it was hashed."""
        if self.read_seal(seal.slot) != seal:
            return False
        return seal.data_hash is None or xxhash.xxh3_64_intdigest(self.data(seal.slot)) == seal.data_hash

    def free_slot(self) -> int:
        """Return the slot to write next: the oldest that is not pinned, the newest sealed one only when need be."""
        steps = {seal.slot: seal.step for seal in self.sealed()}
        newest = max(steps, key=steps.__getitem__, default=None)
        free = [slot for slot in range(SLOTS) if slot not in self.pinned]
        if not free:
            raise ArenaError(f"{self.path}: slots {sorted(self.pinned)} are pinned; none is left to write to")
        return min(free, key=lambda slot: (slot == newest, steps.get(slot, -1), slot not in self._allocated))

    def close(self) -> None:
        """Unmap, unless somebody still holds a view of the data: then the mapping ends with the view."""
        with contextlib.suppress(BufferError):
            self._bytes.release()
            self._mmap.close()

    def _slot(self, slot: int) -> int:
        return self._first_slot + slot * self._slot_bytes

    def _allocate(self, slot: int) -> None:
        """Reserve the memory of a slot: without it, writing to a full tmpfs kills the process by SIGBUS."""
        if slot in self._allocated:
            return
        start = self._slot(slot)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, start, self._slot_bytes)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise ArenaError(f"cannot allocate slot {slot} of {self.path}: {error}") from error
            raise _too_small(self.path, self._slot_bytes, _free_bytes(self.path.parent)) from None
        finally:
            os.close(descriptor)
        try:
            self._mmap.madvise(_POPULATE_WRITE, start, self._slot_bytes)
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel: the first copy takes the page faults
                raise ArenaError(f"cannot map slot {slot} of {self.path}: {error}") from error
        self._allocated.add(slot)


def _pack_seal(seal: Seal) -> bytes:
    hashed = seal.data_hash is not None
    body = _SEAL.pack(
        _SEAL_MAGIC, seal.step, seal.meta_bytes, seal.data_bytes, seal.meta_hash, hashed, seal.data_hash or 0
    )
    return body + _HASH.pack(xxhash.xxh3_64_intdigest(body))


def _unpack_seal(slot: int, data: bytes) -> Seal | None:
    body = data[: _SEAL.size]
    if _HASH.unpack(data[_SEAL.size :])[0] != xxhash.xxh3_64_intdigest(body):
        return None
    magic, step, meta_bytes, data_bytes, meta_hash, hashed, data_hash = _SEAL.unpack(body)
    if magic != _SEAL_MAGIC:
        return None
    return Seal(slot, step, meta_bytes, data_bytes, meta_hash, data_hash if hashed else None)


def _pages(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _too_small(path: Path, needed: int, available: int) -> ArenaError:
    return ArenaError(
        f"shared memory at {path.parent}: needs {needed} bytes for the snapshots of one rank, {available} are "
        "available: enlarge it (mount -o remount,size=..., docker --shm-size, an emptyDir with medium Memory), "
        "free it, or set checkpoint.arena_folder to a folder with more room"
    )
