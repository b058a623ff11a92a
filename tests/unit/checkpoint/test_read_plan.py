from collections import defaultdict

import pytest
from hypothesis import given, settings, strategies as st

from checkpoint.errors import IncompleteError
from checkpoint.manifest import Chunk, DataObject, Entry, RankManifest, content_hash
from checkpoint.read_plan import Wanted, coalesce, index_tensors, plan_reads
from checkpoint.segment import MAX_CHUNK_BYTES

_ITEM_BYTES = 4


def _manifests(ends: list[int], num_elements: int, *, gap_bytes: int = 0) -> list[RankManifest]:
    """Save one F32 tensor of `num_elements`, a chunk between any two `ends`, by two ranks in turn."""
    bounds = sorted({0, num_elements, *(end for end in ends if end < num_elements)})
    manifests = []
    for rank in range(2):
        entries, chunks, offset = [], [], 0
        for number in range(rank, len(bounds) - 1, 2):
            start, stop = bounds[number], bounds[number + 1]
            size = (stop - start) * _ITEM_BYTES
            chunks.append(Chunk(len(entries), start, stop, 0, offset, size, content_hash(b"")))
            entries.append(Entry("w", "fp32", "F32", (num_elements,), start, stop))
            offset += size + gap_bytes
        objects = (DataObject(f"data/{rank}", offset),)
        manifests.append(RankManifest(rank, 2, 1, 1, tuple(entries), objects, tuple(chunks)))
    return manifests


@settings(deadline=None)
@given(
    num_elements=st.integers(1, 200),
    ends=st.lists(st.integers(1, 200), max_size=12),
    wanted=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=6),
)
def test_any_intervals_are_assembled_from_any_chunks(
    num_elements: int, ends: list[int], wanted: list[tuple[int, int]]
) -> None:
    content = bytes(range(256)) * 4
    intervals = [(a % (num_elements + 1), b % (num_elements + 1)) for a, b in wanted]
    intervals = [(min(pair), max(pair)) for pair in intervals if pair[0] != pair[1]]
    got = [bytearray(b"\xee" * (stop - start) * _ITEM_BYTES) for start, stop in intervals]
    written: dict[int, int] = defaultdict(int)

    def sink(index: int, offset: int, part: memoryview) -> None:
        got[index][offset : offset + len(part)] = part
        written[index] += len(part)

    reads = plan_reads(
        index_tensors(_manifests(ends, num_elements)),
        [
            Wanted("w", "fp32", start, stop, lambda offset, part, i=i: sink(i, offset, part))
            for i, (start, stop) in enumerate(intervals)
        ],
    )
    seen = set()
    for read in reads:
        for chunk in read.chunks:
            assert read.start <= chunk.offset <= chunk.offset + chunk.size_bytes <= read.stop
            assert (chunk.key, chunk.offset) not in seen, "every chunk is read once"
            seen.add((chunk.key, chunk.offset))
            data = memoryview(content)[chunk.start * _ITEM_BYTES : chunk.stop * _ITEM_BYTES]
            for copy in chunk.copies:
                copy.sink(copy.target, data[copy.source : copy.source + copy.size_bytes])
    for index, (start, stop) in enumerate(intervals):
        assert got[index] == content[start * _ITEM_BYTES : stop * _ITEM_BYTES]
        assert written[index] == (stop - start) * _ITEM_BYTES, "every byte is copied once"


def _wanted(name: str = "w", kind: str = "fp32", start: int = 0, stop: int = 10, **form: object) -> Wanted:
    return Wanted(name, kind, start, stop, lambda offset, part: None, **form)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (_wanted(name="v"), r"v \(fp32\), elements \[0, 10\): not saved; nothing of this name"),
        (_wanted(kind="exp_avg"), r"w \(exp_avg\).*not saved; saved of this name: fp32"),
        (_wanted(stop=11), r"w \(fp32\): the elements \[10, 11\) were not saved"),
        (_wanted(start=12, stop=14), r"the elements \[12, 14\) were not saved"),
        (_wanted(dtype="BF16"), "saved with dtype F32, wanted with dtype BF16"),
        (_wanted(shape=(2, 5)), r"saved with shape \(10,\), wanted with shape \(2, 5\)"),
    ],
)
def test_what_was_not_saved_is_named(wanted: Wanted, message: str) -> None:
    with pytest.raises(IncompleteError, match=message):
        plan_reads(index_tensors(_manifests([3, 7], 10)), [wanted])


def test_a_gap_between_chunks_is_named() -> None:
    tensors = index_tensors(_manifests([3, 7], 10)[:1])
    with pytest.raises(IncompleteError, match=r"the elements \[3, 7\) were not saved"):
        plan_reads(tensors, [_wanted(stop=7)])


def test_neighbours_are_read_together_but_never_more_than_a_chunk() -> None:
    near = index_tensors(_manifests(list(range(1, 100)), 100, gap_bytes=60))
    assert len(coalesce(near["w", "fp32"].chunks)) == 2, "one request per object"
    far = index_tensors(_manifests([10, 20, 30], 40, gap_bytes=10**6))
    assert len(coalesce(far["w", "fp32"].chunks)) == 4
    quarter = MAX_CHUNK_BYTES // _ITEM_BYTES // 2
    large = index_tensors(_manifests([quarter * i for i in range(1, 12)], quarter * 12))
    reads = coalesce(large["w", "fp32"].chunks)
    assert len(reads) == 6
    assert max(read.stop - read.start for read in reads) <= MAX_CHUNK_BYTES
