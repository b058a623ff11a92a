import dataclasses
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from checkpoint.dtypes import ITEM_BYTES, dtype_name, numpy_name
from checkpoint.errors import CheckpointError, DamagedError, FormatError, IncompleteError
from checkpoint.json_fields import check_json, seal
from checkpoint.manifest import (
    COMMIT_FORMAT,
    Chunk,
    Commit,
    DataObject,
    Entry,
    RankManifest,
    RankReference,
    check_complete,
    content_hash,
    decode_commit,
    decode_rank,
    encode_commit,
    encode_rank,
)

_hashes = st.binary(min_size=16, max_size=16).map(bytes.hex)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def _manifests(draw: st.DrawFn) -> RankManifest:
    entries, chunks, sizes = [], [], [0] * draw(st.integers(1, 3))
    for number in range(draw(st.integers(0, 5))):
        dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
        start = draw(st.integers(0, 50))
        lengths = draw(st.lists(st.integers(1, 40), max_size=4))
        stop = start + sum(lengths)
        entries.append(
            Entry(draw(st.text()), draw(st.text()), dtype, (stop + draw(st.integers(0, 9)), 1), start, stop)
        )
        for length in lengths:
            item = draw(st.integers(0, len(sizes) - 1))
            size = length * ITEM_BYTES[dtype]
            chunks.append(Chunk(number, start, start + length, item, sizes[item], size, draw(_hashes)))
            sizes[item] += size
            start += length
    world_size = draw(st.integers(1, 9))
    return RankManifest(
        rank=draw(st.integers(0, world_size - 1)),
        world_size=world_size,
        step=draw(st.integers(0, 10**9)),
        fence=draw(st.integers(0, 10**6)),
        entries=tuple(entries),
        objects=tuple(DataObject(f"data/{index}", size) for index, size in enumerate(sizes)),
        chunks=tuple(chunks),
        scalars=draw(st.dictionaries(st.text(), _json, max_size=3)),
        extra=draw(st.dictionaries(st.text(), _json, max_size=3)),
    )


@settings(deadline=None)
@given(_manifests())
def test_a_rank_manifest_comes_back_as_it_was(manifest: RankManifest) -> None:
    assert decode_rank(encode_rank(manifest), "here") == manifest


@settings(deadline=None, max_examples=40)
@given(_manifests(), st.data())
def test_any_damage_to_a_rank_manifest_is_found(manifest: RankManifest, data: st.DataObject) -> None:
    stored = bytearray(encode_rank(manifest))
    position = data.draw(st.integers(0, len(stored) - 1))
    stored[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((DamagedError, FormatError), match="somewhere"):
        decode_rank(bytes(stored), "somewhere")
    with pytest.raises(DamagedError, match="somewhere"):
        decode_rank(encode_rank(manifest)[:position], "somewhere")


def _small() -> RankManifest:
    return RankManifest(
        rank=0,
        world_size=1,
        step=3,
        fence=1,
        entries=(Entry("w", "fp32", "F32", (4, 2), 0, 8), Entry("b", "fp32", "F32", (2,), 0, 2)),
        objects=(DataObject("data/x", 100),),
        chunks=(
            Chunk(0, 0, 5, 0, 0, 20, "0" * 32),
            Chunk(0, 5, 8, 0, 20, 12, "1" * 32),
            Chunk(1, 0, 2, 0, 92, 8, "2" * 32),
        ),
    )


def _resealed(**changes: Any) -> bytes:  # noqa: ANN401 - any JSON
    body = json.loads(encode_rank(_small()).splitlines()[1])
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = body
        for name in parents:
            target = target[name]
        target[last] = value
    return seal("ostinato.rank", 1, body)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 1}, "rank 1 of 1"),
        ({"rank": True}, "rank = True"),
        ({"step": -1}, "step = -1"),
        ({"scalars": []}, "scalars"),
        ({"unknown": 1}, "expected the fields"),
        ({"entries__dtype": ["F32", "F33"]}, "F33"),
        ({"entries__stop": [9, 2]}, "outside"),
        ({"entries__stop": [8]}, "different length"),
        ({"entries__name": ["w", 1]}, "list of strings"),
        ({"entries__shape": [[4, 2], [-2]]}, "list of shapes"),
        ({"objects__size_bytes": [99]}, "past the end"),
        ({"objects__size_bytes": []}, "different length"),
        ({"chunks__entry": [0, 0, 2]}, "not listed"),
        ({"chunks__object": [0, 0, 1]}, "not listed"),
        ({"chunks__start": [0, 4, 0]}, "without gap"),
        ({"chunks__start": [0, 5, 1]}, "without gap"),
        ({"chunks__stop": [5, 7, 2]}, "without gap"),
        ({"chunks__entry": [0, 1, 0]}, "without gap"),
        ({"chunks__offset": [0, 20, 93]}, "past the end"),
        ({"chunks__offset": [0, 20, 1.5]}, "whole numbers"),
        ({"chunks__offset": [0, 20, 2**70]}, "between 0"),
        ({"chunks__xxh3": "0" * 95}, "different length"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DamagedError, match=message):
        decode_rank(_resealed(**change), "here")


def test_an_entry_without_chunks_is_refused() -> None:
    manifest = dataclasses.replace(_small(), chunks=_small().chunks[:2])
    with pytest.raises(DamagedError, match=r"no chunk holds b \(fp32\)"):
        decode_rank(encode_rank(manifest), "here")


def test_another_version_is_no_damage() -> None:
    with pytest.raises(FormatError, match=r"version 2 of ostinato\.commit; this program reads version 1"):
        decode_commit(seal(COMMIT_FORMAT, 2, {}), "here")


def test_a_commit_comes_back_as_it_was() -> None:
    ranks = (RankReference("parts/a", 10, "0" * 32), RankReference("parts/b", 11, "1" * 32))
    commit = Commit(step=7, fence=2, world_size=2, ranks=ranks, parents=(3, 5), time_s=1234.5678901)
    assert decode_commit(encode_commit(commit), "here") == commit
    with pytest.raises(DamagedError, match="2 rank manifests for 3 ranks"):
        decode_commit(encode_commit(dataclasses.replace(commit, world_size=3)), "here")


def _with_entries(*intervals: tuple[int, int]) -> list[RankManifest]:
    return [
        dataclasses.replace(_small(), entries=(Entry("w", "fp32", "F32", (4, 2), *interval),))
        for interval in intervals
    ]


def test_ranks_that_hold_everything_once_are_complete() -> None:
    check_complete(_with_entries((5, 8), (0, 5), (5, 5)))


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ([(0, 5)], r"w \(fp32\): no rank holds the elements \[5, 8\)"),
        ([(0, 4), (5, 8)], r"no rank holds the elements \[4, 5\)"),
        ([(0, 6), (5, 8)], r"the elements \[5, 6\) are held more than once"),
        ([(0, 8), (2, 3)], r"the elements \[2, 3\) are held more than once"),
    ],
)
def test_gaps_and_overlaps_between_ranks_are_named(intervals: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(IncompleteError, match=message):
        check_complete(_with_entries(*intervals))


def test_ranks_must_agree_on_type_and_shape() -> None:
    one, two = _with_entries((0, 5), (5, 8))
    other = dataclasses.replace(two, entries=(dataclasses.replace(two.entries[0], dtype="BF16"),))
    with pytest.raises(IncompleteError, match="ranks disagree"):
        check_complete([one, other])


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, {"a": [object()]}, b"x", {"a": {"b": {3}}}])
def test_state_that_json_would_change_is_refused(value: object) -> None:
    with pytest.raises(CheckpointError, match="scalars"):
        check_json(value, "scalars")


def test_types_have_names_in_every_library() -> None:
    assert dtype_name("torch.bfloat16") == "BF16"
    assert dtype_name("float32") == "F32"
    assert numpy_name("F16") == "float16"
    with pytest.raises(CheckpointError, match="read the bytes"):
        numpy_name("BF16")
    with pytest.raises(CheckpointError, match="complex64"):
        dtype_name("torch.complex64")


def test_time_grows_with_the_number_of_chunks_and_not_faster() -> None:
    count = 20_000
    digest = content_hash(b"")
    entries = tuple(Entry(f"layer.{i}.weight", "fp32", "F32", (16,), 0, 16) for i in range(count))
    chunks = tuple(Chunk(i, 0, 16, 0, 64 * i, 64, digest) for i in range(count))
    manifest = dataclasses.replace(
        _small(), entries=entries, objects=(DataObject("data/x", 64 * count),), chunks=chunks
    )
    begin = time.process_time()
    assert decode_rank(encode_rank(manifest), "here").chunks == chunks
    assert time.process_time() - begin < 10  # measured 0.2: the bound is for quadratic behaviour
