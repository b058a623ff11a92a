"""Which bytes to read for which intervals: the intersection of what was saved and what is wanted. Pure.

Saved and wanted layouts need not agree in anything but the tensors' names, kinds, types and shapes. A chunk
is read whole, because its hash covers the whole; chunks that lie next to each other in an object are read
with one request.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from checkpoint.dtypes import ITEM_BYTES
from checkpoint.errors import IncompleteError
from checkpoint.manifest import RankManifest
from checkpoint.segment import MAX_CHUNK_BYTES

_MAX_GAP_BYTES = 64 * 1024
"""Reading so many useless bytes costs less than another request."""

Sink = Callable[[int, memoryview], None]
"""Takes bytes and their offset, in bytes, from the start of what is wanted. Called from several threads."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The interval `[start, stop)` of a tensor, and where its bytes go. dtype and shape None: as saved."""

    name: str
    kind: str
    start: int
    stop: int
    sink: Sink
    dtype: str | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """`size_bytes` bytes from byte `source` of a chunk to byte `target` of a wanted interval."""

    source: int
    target: int
    size_bytes: int
    sink: Sink


@dataclass(slots=True)
class ChunkRead:
    """One chunk, what it is, and who wants which part of it."""

    name: str
    kind: str
    start: int
    stop: int
    key: str
    offset: int
    size_bytes: int
    xxh3: str
    copies: list[Copy] = field(default_factory=list)

    def describe(self) -> str:
        """Return what the chunk is and where it lies, for errors."""
        return (
            f"{self.name} ({self.kind}), elements [{self.start}, {self.stop}), in {self.key} at bytes "
            f"[{self.offset}, {self.offset + self.size_bytes})"
        )


@dataclass(frozen=True, slots=True)
class RangeRead:
    """The bytes `[start, stop)` of an object, and the chunks in them."""

    key: str
    start: int
    stop: int
    chunks: tuple[ChunkRead, ...]


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """One tensor of a checkpoint: its type, its global shape, and its chunks in order."""

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    chunks: list[ChunkRead] = field(default_factory=list, repr=False)

    @property
    def num_elements(self) -> int:
        """Elements of the whole tensor."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.num_elements * ITEM_BYTES[self.dtype]


def index_tensors(manifests: Iterable[RankManifest]) -> dict[tuple[str, str], SavedTensor]:
    """Return the tensors of a checkpoint by (name, kind)."""
    tensors: dict[tuple[str, str], SavedTensor] = {}
    for manifest in manifests:
        for entry in manifest.entries:
            identity = (entry.name, entry.kind)
            if identity not in tensors:
                tensors[identity] = SavedTensor(entry.name, entry.kind, entry.dtype, entry.shape)
        for chunk in manifest.chunks:
            entry = manifest.entries[chunk.entry]
            tensors[entry.name, entry.kind].chunks.append(
                ChunkRead(
                    entry.name, entry.kind, chunk.start, chunk.stop, manifest.objects[chunk.object].key,
                    chunk.offset, chunk.size_bytes, chunk.xxh3,
                )
            )  # fmt: skip
    for tensor in tensors.values():
        tensor.chunks.sort(key=lambda chunk: chunk.start)
    return tensors


def plan_reads(tensors: dict[tuple[str, str], SavedTensor], wanted: Iterable[Wanted]) -> list[RangeRead]:
    """Return the reads that fill every wanted interval; each chunk occurs in one of them.

    Raises IncompleteError naming tensor, kind and interval when something wanted was not saved, or in another
    form.
    """
    reads: dict[tuple[str, int], ChunkRead] = {}
    for interval in wanted:
        tensor = tensors.get((interval.name, interval.kind))
        if tensor is None:
            raise IncompleteError(_not_saved(tensors, interval))
        _check_form(tensor, interval)
        for chunk, copy in _intersect(tensor, interval):
            read = reads.setdefault((chunk.key, chunk.offset), _without_copies(chunk))
            read.copies.append(copy)
    return coalesce(reads.values())


def coalesce(chunks: Iterable[ChunkRead]) -> list[RangeRead]:
    """Return requests for the chunks, in the order of objects and bytes; neighbours joined up to 64 MiB."""
    requests: list[RangeRead] = []
    gathered: list[ChunkRead] = []
    for chunk in sorted(chunks, key=lambda chunk: (chunk.key, chunk.offset)):
        if gathered and not _joins(gathered, chunk):
            requests.append(_request(gathered))
            gathered = []
        gathered.append(chunk)
    if gathered:
        requests.append(_request(gathered))
    return requests


def _intersect(tensor: SavedTensor, interval: Wanted) -> Iterable[tuple[ChunkRead, Copy]]:
    """Yield the saved chunks that overlap the interval, with the bytes to copy, without gap."""
    item_bytes = ITEM_BYTES[tensor.dtype]
    position = interval.start
    first = bisect_right(tensor.chunks, interval.start, key=lambda chunk: chunk.start) - 1
    for index in range(max(first, 0), len(tensor.chunks)):
        chunk = tensor.chunks[index]
        if position >= interval.stop or not chunk.start <= position < chunk.stop:
            break
        end = min(chunk.stop, interval.stop)
        yield (
            chunk,
            Copy(
                source=(position - chunk.start) * item_bytes,
                target=(position - interval.start) * item_bytes,
                size_bytes=(end - position) * item_bytes,
                sink=interval.sink,
            ),
        )
        position = end
    if position < interval.stop:
        raise IncompleteError(
            f"{interval.name} ({interval.kind}): the elements [{position}, {interval.stop}) were not saved"
        )


def _check_form(tensor: SavedTensor, interval: Wanted) -> None:
    for what, saved, asked in (
        ("dtype", tensor.dtype, interval.dtype),
        ("shape", tensor.shape, interval.shape),
    ):
        if asked is not None and asked != saved:
            raise IncompleteError(
                f"{interval.name} ({interval.kind}): saved with {what} {saved}, wanted with {what} {asked}"
            )


def _not_saved(tensors: dict[tuple[str, str], SavedTensor], interval: Wanted) -> str:
    kinds = sorted(kind for name, kind in tensors if name == interval.name)
    saved = f"saved of this name: {', '.join(kinds)}" if kinds else "nothing of this name was saved"
    return (
        f"{interval.name} ({interval.kind}), elements [{interval.start}, {interval.stop}): not saved; {saved}"
    )


def _without_copies(chunk: ChunkRead) -> ChunkRead:
    return ChunkRead(
        chunk.name, chunk.kind, chunk.start, chunk.stop, chunk.key, chunk.offset, chunk.size_bytes, chunk.xxh3
    )


def _joins(gathered: Sequence[ChunkRead], chunk: ChunkRead) -> bool:
    first, last = gathered[0], gathered[-1]
    gap = chunk.offset - (last.offset + last.size_bytes)
    joined = chunk.offset + chunk.size_bytes - first.offset
    return chunk.key == last.key and gap <= _MAX_GAP_BYTES and joined <= MAX_CHUNK_BYTES


def _request(chunks: Sequence[ChunkRead]) -> RangeRead:
    first, last = chunks[0], chunks[-1]
    return RangeRead(first.key, first.offset, last.offset + last.size_bytes, tuple(chunks))
