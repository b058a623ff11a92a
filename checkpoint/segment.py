"""A segment: one immutable object of tensor data that is a valid safetensors file.

The header is padded so that data begins on a 4 KiB boundary; every chunk begins on a 64 byte boundary.
safetensors allows no holes, so gaps are named padding tensors (https://github.com/huggingface/safetensors,
"Format").
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from checkpoint.dtypes import ITEM_BYTES
from checkpoint.manifest import Entry, content_hash

MAX_CHUNK_BYTES = 64 * 2**20
"""Largest chunk, and so the largest unit that is read, checked and held in memory."""
HEADER_ALIGNMENT = 4096
CHUNK_ALIGNMENT = 64
MAX_CHUNKS = 50_000
"""Most chunks in one segment: keeps the header well below the 100 MB that safetensors readers accept."""

_PADDING = bytes(CHUNK_ALIGNMENT)


@dataclass(frozen=True, slots=True)
class Piece:
    """The elements `[start, stop)` of entry number `entry`, with their bytes: what becomes one chunk."""

    entry: int
    start: int
    stop: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """Header and positions of one segment: piece i begins at byte `offsets[i]` of the object."""

    header: bytes
    offsets: tuple[int, ...]
    size_bytes: int


def cut(number: int, entry: Entry, data: memoryview, max_bytes: int) -> Iterator[Piece]:
    """Yield the bytes of one entry as pieces of at most `max_bytes` (a multiple of 64), without copying."""
    item_bytes = ITEM_BYTES[entry.dtype]
    step = max_bytes // item_bytes
    for start in range(entry.start, entry.stop, step):
        stop = min(start + step, entry.stop)
        first, last = ((position - entry.start) * item_bytes for position in (start, stop))
        yield Piece(number, start, stop, data[first:last])


def group(pieces: Sequence[Piece], segment_bytes: int) -> Iterator[list[Piece]]:
    """Yield the pieces, in order, in groups whose data fit into one segment."""
    gathered: list[Piece] = []
    size = 0
    for piece in pieces:
        if gathered and (size + piece.data.nbytes > segment_bytes or len(gathered) == MAX_CHUNKS):
            yield gathered
            gathered, size = [], 0
        gathered.append(piece)
        size += aligned(piece.data.nbytes, CHUNK_ALIGNMENT)
    if gathered:
        yield gathered


def lay_out(pieces: Sequence[Piece], entries: Sequence[Entry], metadata: Mapping[str, str]) -> SegmentLayout:
    """Return header and positions of a segment that holds `pieces` of `entries`."""
    tensors: dict[str, object] = {"__metadata__": dict(metadata)}
    positions, position = [], 0
    for number, piece in enumerate(pieces):
        entry, end = entries[piece.entry], position + piece.data.nbytes
        name = f"{entry.name}:{entry.kind}[{piece.start}:{piece.stop}]"
        tensors[name] = {
            "dtype": entry.dtype, "shape": [piece.stop - piece.start], "data_offsets": [position, end]
        }  # fmt: skip
        positions.append(position)
        position = aligned(end, CHUNK_ALIGNMENT)
        if position > end:
            tensors[f"padding:{number}"] = {
                "dtype": "U8", "shape": [position - end], "data_offsets": [end, position]
            }  # fmt: skip
    text = json.dumps(tensors, separators=(",", ":"), ensure_ascii=False).encode()
    header_bytes = aligned(8 + len(text), HEADER_ALIGNMENT)
    header = (header_bytes - 8).to_bytes(8, "little") + text.ljust(header_bytes - 8)
    return SegmentLayout(header, tuple(header_bytes + p for p in positions), header_bytes + position)


def stream(layout: SegmentLayout, pieces: Sequence[Piece], digests: list[str]) -> Iterator[memoryview]:
    """Yield the bytes of the segment from the pieces' own memory; append their xxh3-128 to `digests`."""
    yield memoryview(layout.header)
    for piece in pieces:
        digests.append(content_hash(piece.data))
        yield piece.data
        gap = aligned(piece.data.nbytes, CHUNK_ALIGNMENT) - piece.data.nbytes
        if gap:
            yield memoryview(_PADDING)[:gap]


def aligned(size_bytes: int, alignment: int) -> int:
    """Return `size_bytes` rounded up to a multiple of `alignment`."""
    return -(-size_bytes // alignment) * alignment
