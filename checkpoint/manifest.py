"""What a checkpoint consists of: one manifest per rank, and one commit that names them all. Pure.

A rank manifest lists entries (the named flat slices that the rank saved), the objects that hold their bytes,
and the chunks: at most 64 MiB each, in the order of their entries, each with its xxh3-128. On disk the chunks
are columns, so that a million of them take a second, and not ten.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from xxhash import xxh3_128_hexdigest

from checkpoint.dtypes import ITEM_BYTES
from checkpoint.errors import DamagedError, IncompleteError
from checkpoint.json_fields import Fields, seal, unseal
from checkpoint.state import Json

VERSION = 1
RANK_FORMAT = "ostinato.rank"
COMMIT_FORMAT = "ostinato.commit"

_RANK_FIELDS = ("rank", "world_size", "step", "fence", "entries", "objects", "chunks", "scalars", "extra")
_ENTRY_FIELDS = ("name", "kind", "dtype", "shape", "start", "stop")
_OBJECT_FIELDS = ("key", "size_bytes")
_CHUNK_FIELDS = ("entry", "start", "stop", "object", "offset", "xxh3")
_COMMIT_FIELDS = ("step", "fence", "world_size", "ranks", "parents", "time_s")
_REFERENCE_FIELDS = ("key", "size_bytes", "xxh3")
_HASH_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """The flat interval `[start, stop)`, in elements, that a rank holds of a named tensor of global `shape`.

    `dtype` is the safetensors name of the element type, for example F32 or BF16.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the interval."""
        return (self.stop - self.start) * ITEM_BYTES[self.dtype]


class Chunk(NamedTuple):
    """The elements `[start, stop)` of entry `entry`, stored at byte `offset` of object number `object`."""

    entry: int
    start: int
    stop: int
    object: int
    offset: int
    size_bytes: int
    xxh3: str


@dataclass(frozen=True, slots=True)
class DataObject:
    """One immutable object that holds chunks."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RankManifest:
    """Everything that one rank saved of one step. `chunks` are in the order of the entries and cover them."""

    rank: int
    world_size: int
    step: int
    fence: int
    entries: tuple[Entry, ...]
    objects: tuple[DataObject, ...]
    chunks: tuple[Chunk, ...]
    scalars: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)

    def same_tensors(self, other: "RankManifest") -> bool:
        """Return whether both hold the same bytes of the same entries, wherever those lie."""
        return self.entries == other.entries and [
            (chunk.entry, chunk.start, chunk.stop, chunk.xxh3) for chunk in self.chunks
        ] == [(chunk.entry, chunk.start, chunk.stop, chunk.xxh3) for chunk in other.chunks]


@dataclass(frozen=True, slots=True)
class RankReference:
    """A rank manifest by key, with the size and the xxh3-128 of its stored bytes."""

    key: str
    size_bytes: int
    xxh3: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The one object that makes a checkpoint exist. `ranks` is in the order of the ranks.

    `parents` are the earlier steps whose segments this checkpoint refers to; `time_s` is epoch seconds.
    """

    step: int
    fence: int
    world_size: int
    ranks: tuple[RankReference, ...]
    parents: tuple[int, ...]
    time_s: float


def content_hash(data: bytes | memoryview) -> str:
    """Return the xxh3-128 of `data` as 32 hexadecimal digits."""
    return xxh3_128_hexdigest(data)


def encode_rank(manifest: RankManifest) -> bytes:
    """Return the stored form of a rank manifest."""
    chunks = list(zip(*manifest.chunks, strict=True)) or [()] * len(Chunk._fields)
    body = {
        "rank": manifest.rank,
        "world_size": manifest.world_size,
        "step": manifest.step,
        "fence": manifest.fence,
        "entries": {name: [getattr(entry, name) for entry in manifest.entries] for name in _ENTRY_FIELDS},
        "objects": {name: [getattr(item, name) for item in manifest.objects] for name in _OBJECT_FIELDS},
        "chunks": {
            "entry": chunks[0], "start": chunks[1], "stop": chunks[2],
            "object": chunks[3], "offset": chunks[4], "xxh3": "".join(chunks[6]),
        },
        "scalars": manifest.scalars,
        "extra": manifest.extra,
    }  # fmt: skip
    return seal(RANK_FORMAT, VERSION, body)


def decode_rank(data: bytes, where: str) -> RankManifest:
    """Return the rank manifest stored as `data`; `where` names it in errors.

    Raises DamagedError when it is damaged or contradicts itself, FormatError when another version wrote it.
    """
    fields = Fields(unseal(data, RANK_FORMAT, VERSION, where), _RANK_FIELDS, where)
    entries = _decode_entries(fields.nested("entries", _ENTRY_FIELDS))
    objects = _decode_objects(fields.nested("objects", _OBJECT_FIELDS))
    manifest = RankManifest(
        rank=fields.integer("rank"),
        world_size=fields.integer("world_size", 1),
        step=fields.integer("step"),
        fence=fields.integer("fence"),
        entries=entries,
        objects=objects,
        chunks=_decode_chunks(fields.nested("chunks", _CHUNK_FIELDS), entries, objects),
        scalars=fields.mapping("scalars"),
        extra=fields.mapping("extra"),
    )
    if manifest.rank >= manifest.world_size:
        raise DamagedError(f"{where}: rank {manifest.rank} of {manifest.world_size}")
    return manifest


def encode_commit(commit: Commit) -> bytes:
    """Return the stored form of a commit."""
    body = {
        "step": commit.step,
        "fence": commit.fence,
        "world_size": commit.world_size,
        "ranks": {name: [getattr(rank, name) for rank in commit.ranks] for name in _REFERENCE_FIELDS},
        "parents": commit.parents,
        "time_s": commit.time_s,
    }
    return seal(COMMIT_FORMAT, VERSION, body)


def decode_commit(data: bytes, where: str) -> Commit:
    """Return the commit stored as `data`. Raises DamagedError, FormatError."""
    fields = Fields(unseal(data, COMMIT_FORMAT, VERSION, where), _COMMIT_FIELDS, where)
    ranks = fields.nested("ranks", _REFERENCE_FIELDS)
    keys, sizes, hashes = ranks.texts("key"), ranks.integers("size_bytes"), ranks.texts("xxh3")
    world_size = fields.integer("world_size", 1)
    if not len(keys) == len(sizes) == len(hashes) == world_size:
        raise DamagedError(f"{where}: names {len(keys)} rank manifests for {world_size} ranks")
    return Commit(
        step=fields.integer("step"),
        fence=fields.integer("fence"),
        world_size=world_size,
        ranks=tuple(map(RankReference, keys, sizes, hashes)),
        parents=tuple(fields.integers("parents")),
        time_s=fields.number("time_s"),
    )


def check_complete(manifests: Sequence[RankManifest]) -> None:
    """Check that the ranks together hold every element of every tensor exactly once, and agree on its form.

    Raises IncompleteError naming the tensor and the first interval that is missing or held twice.
    """
    tensors: dict[tuple[str, str], list[Entry]] = {}
    for manifest in manifests:
        for entry in manifest.entries:
            tensors.setdefault((entry.name, entry.kind), []).append(entry)
    for (name, kind), entries in tensors.items():
        first = entries[0]
        for entry in entries:
            if (entry.dtype, entry.shape) != (first.dtype, first.shape):
                raise IncompleteError(
                    f"{name} ({kind}): ranks disagree: {first.dtype}{list(first.shape)} and "
                    f"{entry.dtype}{list(entry.shape)}"
                )
        _check_tiling(f"{name} ({kind})", entries, math.prod(first.shape))


def _check_tiling(what: str, entries: Iterable[Entry], num_elements: int) -> None:
    position = 0
    for entry in sorted(entries, key=lambda entry: (entry.start, entry.stop)):
        if entry.start > position:
            raise IncompleteError(f"{what}: no rank holds the elements [{position}, {entry.start})")
        if entry.start < position and entry.stop > entry.start:
            raise IncompleteError(
                f"{what}: the elements [{entry.start}, {min(entry.stop, position)}) are held more than once"
            )
        position = max(position, entry.stop)
    if position != num_elements:
        raise IncompleteError(f"{what}: no rank holds the elements [{position}, {num_elements})")


def _decode_entries(fields: Fields) -> tuple[Entry, ...]:
    columns = (
        fields.texts("name"), fields.texts("kind"), fields.texts("dtype"), fields.shapes("shape"),
        fields.integers("start"), fields.integers("stop"),
    )  # fmt: skip
    if len({len(column) for column in columns}) != 1:
        raise DamagedError(f"{fields.where}: columns of different length")
    entries = tuple(map(Entry, *columns))
    for entry in entries:
        if entry.dtype not in ITEM_BYTES:
            raise DamagedError(
                f"{fields.where}: {entry.name}: dtype {entry.dtype!r}; allowed: {', '.join(ITEM_BYTES)}"
            )
        if not entry.start <= entry.stop <= math.prod(entry.shape):
            raise DamagedError(
                f"{fields.where}: {entry.name}: interval [{entry.start}, {entry.stop}) outside {entry.shape}"
            )
    return entries


def _decode_objects(fields: Fields) -> tuple[DataObject, ...]:
    keys, sizes = fields.texts("key"), fields.integers("size_bytes")
    if len(keys) != len(sizes):
        raise DamagedError(f"{fields.where}: columns of different length")
    return tuple(map(DataObject, keys, sizes))


def _decode_chunks(
    fields: Fields, entries: tuple[Entry, ...], objects: tuple[DataObject, ...]
) -> tuple[Chunk, ...]:
    columns = [fields.integers(name) for name in ("entry", "start", "stop", "object", "offset")]
    digits, count = fields.text("xxh3"), len(columns[0])
    if any(len(column) != count for column in columns) or len(digits) != count * _HASH_DIGITS:
        raise DamagedError(f"{fields.where}: columns of different length")
    sizes = _check_chunks(columns, entries, objects, fields.where)
    ends = accumulate([_HASH_DIGITS] * count)
    hashes = [digits[end - _HASH_DIGITS : end] for end in ends]
    return tuple(map(Chunk._make, zip(*columns, sizes, hashes, strict=True)))


def _check_chunks(
    columns: list[list[int]], entries: tuple[Entry, ...], objects: tuple[DataObject, ...], where: str
) -> list[int]:
    """Check that the chunks follow their entries without gap, inside their objects. Return their sizes."""
    entry, start, stop, item, offset = (np.array(column, dtype=np.int64) for column in columns)
    if entry.size and (entry.max() >= len(entries) or item.max() >= len(objects)):
        raise DamagedError(f"{where}: a chunk names an entry or an object that is not listed")
    entry_start = np.array([e.start for e in entries], dtype=np.int64)
    entry_stop = np.array([e.stop for e in entries], dtype=np.int64)
    item_bytes = np.array([ITEM_BYTES[e.dtype] for e in entries], dtype=np.int64)
    object_bytes = np.array([o.size_bytes for o in objects], dtype=np.int64)
    sizes = (stop - start) * item_bytes[entry] if entry.size else entry
    if entry.size:
        first = np.diff(entry, prepend=-1) != 0
        last = np.append(first[1:], True)
        follows = np.where(first, start == entry_start[entry], start == np.append(start[:1], stop[:-1]))
        ends = ~last | (stop == entry_stop[entry])
        if not (np.all(np.diff(entry) >= 0) and np.all(follows) and np.all(ends) and np.all(start < stop)):
            raise DamagedError(f"{where}: chunks do not follow their entries without gap")
        if np.any(sizes > object_bytes[item] - offset):
            raise DamagedError(f"{where}: a chunk reaches past the end of its object")
    covered = np.zeros(len(entries), dtype=bool)
    covered[entry] = True
    if np.any(~covered & (entry_stop > entry_start)):
        missing = entries[int(np.flatnonzero(~covered & (entry_stop > entry_start))[0])]
        raise DamagedError(f"{where}: no chunk holds {missing.name} ({missing.kind})")
    return [int(size) for size in sizes.tolist()]
