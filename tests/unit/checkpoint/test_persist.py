import dataclasses
import pickle

import numpy as np
import pytest
from fixtures_checkpoint import SEGMENT_BYTES, make_states, make_tensors, save
from safetensors.numpy import load

from checkpoint import layout
from checkpoint.commits import list_commits, load_commit, quarantine, usable_commits
from checkpoint.errors import (
    CheckpointError,
    DamagedError,
    FencedError,
    IncompleteError,
    ObjectMissing,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from checkpoint.fence import claim_fence, newest_fence
from checkpoint.manifest import Commit
from checkpoint.persist import RankState, commit_when_complete, write_rank
from checkpoint.reader import CommitSource
from checkpoint.segment import CHUNK_ALIGNMENT, HEADER_ALIGNMENT
from checkpoint.state import BUFFER, FROZEN, MASTER
from checkpoint.store_memory import MemoryStore


def _write(store: MemoryStore, state: RankState) -> None:
    write_rank(store, state, segment_bytes=SEGMENT_BYTES)


def _data_keys(store: MemoryStore, step: int) -> list[str]:
    return [found.key for found in store.list(f"{layout.DATA}{step:012d}/")]


def test_nothing_exists_until_the_last_rank_has_written() -> None:
    store = MemoryStore()
    states = make_states(5, 3)
    for state in states[:2]:
        _write(store, state)
        assert commit_when_complete(store, 5, 1, 3) is None
        assert list_commits(store) == []
    _write(store, states[2])
    outcome = commit_when_complete(store, 5, 1, 3)
    assert outcome is not None
    assert outcome.created
    assert [(info.step, info.key) for info in list_commits(store)] == [(5, outcome.key)]


def test_segments_are_safetensors_files_with_aligned_data() -> None:
    store = MemoryStore()
    save(store, make_states(1, 2))
    view = load_commit(store, list_commits(store)[0])
    for manifest in view.manifests:
        for chunk in manifest.chunks:
            entry, item = manifest.entries[chunk.entry], manifest.objects[chunk.object]
            data = store.get(item.key)
            assert len(data) == item.size_bytes
            assert item.size_bytes <= SEGMENT_BYTES + 2 * HEADER_ALIGNMENT
            assert chunk.offset % CHUNK_ALIGNMENT == 0
            array = load(data)[f"{entry.name}:{entry.kind}[{chunk.start}:{chunk.stop}]"]
            assert array.tobytes() == data[chunk.offset : chunk.offset + chunk.size_bytes]
    assert len(view.objects()) > 4


def test_the_newest_commit_is_listed_first() -> None:
    store = MemoryStore()
    for step in (9, 100, 10):
        save(store, make_states(step, 1))
    assert [info.step for info in list_commits(store)] == [100, 10, 9]
    keys = [found.key for found in store.list(layout.COMMITS)]
    assert keys == [layout.commit_key(step) for step in (100, 10, 9)]


def test_what_did_not_change_is_not_written_again() -> None:
    store = MemoryStore()
    save(store, make_states(1, 2))
    parent = load_commit(store, list_commits(store)[0])
    states = make_states(2, 2)
    receipts = [write_rank(store, s, segment_bytes=SEGMENT_BYTES, parent=parent) for s in states]
    unchanged = sum(e.size_bytes for s in states for e in s.entries if e.kind in {FROZEN, BUFFER})
    assert sum(receipt.referenced_bytes for receipt in receipts) == unchanged > 0
    assert sum(receipt.written_bytes for receipt in receipts) + unchanged == parent.size_bytes
    outcome = commit_when_complete(store, 2, 1, 2)
    assert outcome is not None
    assert outcome.commit.parents == (1,)
    assert_holds(store, 2, make_tensors(2))


def test_a_frozen_weight_that_did_change_is_written() -> None:
    store = MemoryStore()
    save(store, make_states(1, 1))
    parent = load_commit(store, list_commits(store)[0])
    tensors = make_tensors(2, frozen_seed=8)
    save(store, make_states(2, 1, tensors=tensors), parent=parent)
    assert_holds(store, 2, tensors)


def assert_holds(store: MemoryStore, step: int, tensors: dict[tuple[str, str], np.ndarray]) -> None:
    """Assert that the commit of `step` holds exactly `tensors`."""
    info = next(info for info in usable_commits(store) if info.step == step)
    source = CommitSource(store, info)
    assert set(source.tensors()) == set(tensors)
    for (name, kind), array in tensors.items():
        np.testing.assert_array_equal(source.read_array(name, kind), array)


def test_writing_a_rank_twice_is_the_same_as_once() -> None:
    store = MemoryStore()
    state = make_states(1, 1)[0]
    _write(store, state)
    _write(store, state)
    assert commit_when_complete(store, 1, 1, 1) is not None
    assert_holds(store, 1, make_tensors(1))


def test_one_fence_never_holds_two_versions_of_a_step() -> None:
    store = MemoryStore()
    _write(store, make_states(1, 2)[0])
    with pytest.raises(FencedError, match="claim a new fence"):
        _write(store, make_states(1, 2, tensors=make_tensors(99))[0])


def test_committing_twice_finds_the_first() -> None:
    store = MemoryStore()
    first = save(store, make_states(1, 1))
    again = commit_when_complete(store, 1, 1, 1)
    assert again is not None
    assert not again.created
    assert again.commit == first.commit


def test_a_newer_attempt_finds_a_step_of_an_older_one_durable() -> None:
    store = MemoryStore()
    save(store, make_states(1, 1, fence=claim_fence(store)))
    outcome = save(store, make_states(1, 1, fence=claim_fence(store)))
    assert not outcome.created
    assert outcome.commit.fence == 1


def test_a_zombie_cannot_commit() -> None:
    store = MemoryStore()
    old = claim_fence(store)
    _write(store, make_states(1, 1, fence=old)[0])
    new = claim_fence(store)
    assert newest_fence(store) == new > old
    with pytest.raises(FencedError, match=f"fence {new} has been claimed, ours is {old}"):
        commit_when_complete(store, 1, old, 1)
    assert list_commits(store) == []


def test_a_zombie_that_slips_past_the_check_meets_the_newer_commit() -> None:
    store = MemoryStore()
    save(store, make_states(1, 1, fence=2))
    _write(store, make_states(1, 1, fence=1)[0])
    with pytest.raises(FencedError, match="committed under fence 2, ours is 1"):
        commit_when_complete(store, 1, 1, 1)


def test_fences_grow() -> None:
    store = MemoryStore()
    assert newest_fence(store) == 0
    assert [claim_fence(store) for _ in range(3)] == [1, 2, 3]
    store.put_if_absent(layout.fence_key(7), b"{}")
    assert claim_fence(store) == 8


def test_an_older_lease_of_a_job_cannot_claim_again() -> None:
    store = MemoryStore()
    assert [claim_fence(store, job="a", lease=lease) for lease in (1, 1, 3)] == [1, 2, 3]
    with pytest.raises(FencedError, match=r"job a was placed again \(lease 3\), ours is 2"):
        claim_fence(store, job="a", lease=2)
    # A person, or another job, may take the run over; what is known of leases is not forgotten by that.
    assert claim_fence(store, job="b", lease=1) == 4
    assert claim_fence(store) == 5
    with pytest.raises(FencedError, match="a later attempt owns the run"):
        claim_fence(store, job="a", lease=2)
    assert claim_fence(store, job="a", lease=3) == 6


def test_an_older_lease_that_loses_the_race_to_claim_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    claim_fence(store, job="a", lease=1)
    stale = store.put_if_absent

    def overtaken(key: str, data: bytes) -> bool:
        monkeypatch.undo()
        claim_fence(store, job="a", lease=2)
        return stale(key, data)

    monkeypatch.setattr(store, "put_if_absent", overtaken)
    with pytest.raises(FencedError, match="lease 2"):
        claim_fence(store, job="a", lease=1)
    assert newest_fence(store) == 2


def test_a_lost_acknowledgement_of_the_commit_is_success() -> None:
    store = MemoryStore()
    _write(store, make_states(1, 1)[0])
    store.fail_put(error=StoreUnavailable("timeout"), applied=True, prefix=layout.COMMITS)
    outcome = commit_when_complete(store, 1, 1, 1)
    assert store.unfired == 0
    assert outcome is not None
    assert outcome.created


def test_a_commit_that_did_not_arrive_raises_and_can_be_repeated() -> None:
    store = MemoryStore()
    _write(store, make_states(1, 1)[0])
    store.fail_put(error=StoreUnavailable("timeout"), prefix=layout.COMMITS)
    with pytest.raises(StoreUnavailable):
        commit_when_complete(store, 1, 1, 1)
    assert store.unfired == 0
    assert list_commits(store) == []
    outcome = commit_when_complete(store, 1, 1, 1)
    assert outcome is not None
    assert outcome.created


@pytest.mark.parametrize("error", [StoreFull("quota"), StoreDenied("no"), StoreUnavailable("gone")])
def test_a_failing_store_leaves_the_last_checkpoint_as_it_was(error: Exception) -> None:
    store = MemoryStore()
    save(store, make_states(1, 1))
    for nth in range(1, 5):
        store.fail_put(nth=nth, error=error)
        with pytest.raises(type(error)):
            _write(store, make_states(2, 1)[0])
        assert store.unfired == 0
        assert_holds(store, 1, make_tensors(1))


def test_a_step_found_damaged_may_be_saved_again() -> None:
    store = MemoryStore()
    save(store, make_states(1, 1))
    save(store, make_states(2, 1))
    quarantine(store, 2, "chunk does not match")
    assert [info.step for info in usable_commits(store)] == [1]
    outcome = save(store, make_states(2, 1, fence=2))
    assert outcome.created
    assert outcome.key == layout.commit_key(2, 1)
    assert [(info.step, info.replacement) for info in usable_commits(store)] == [(2, 1), (1, 0)]
    assert [(info.step, info.replacement) for info in list_commits(store)] == [(2, 1), (2, 0), (1, 0)]


def test_an_incomplete_set_of_slices_is_never_committed() -> None:
    store = MemoryStore()
    state = make_states(1, 1)[0]
    _write(store, dataclasses.replace(state, entries=state.entries[1:], buffers=state.buffers[1:]))
    assert commit_when_complete(store, 1, 1, 1) is not None  # a whole tensor less is another model
    broken = make_states(2, 2)
    _write(store, broken[0])
    first = broken[1].entries[0]
    half = dataclasses.replace(first, stop=first.stop - 1)
    buffer = broken[1].buffers[0][: half.size_bytes]
    _write(
        store,
        dataclasses.replace(
            broken[1], entries=(half, *broken[1].entries[1:]), buffers=[buffer, *broken[1].buffers[1:]]
        ),
    )
    with pytest.raises(IncompleteError, match="no rank holds"):
        commit_when_complete(store, 2, 1, 2)


def test_an_object_that_is_gone_or_cut_is_never_committed() -> None:
    store = MemoryStore()
    _write(store, make_states(1, 1)[0])
    key = _data_keys(store, 1)[0]
    store.truncate(key, 4097)
    with pytest.raises(DamagedError, match="4097 bytes"):
        commit_when_complete(store, 1, 1, 1)
    store.delete([key])
    with pytest.raises(IncompleteError, match="is gone"):
        commit_when_complete(store, 1, 1, 1)
    assert list_commits(store) == []


def test_a_damaged_rank_manifest_is_never_committed() -> None:
    store = MemoryStore()
    _write(store, make_states(1, 1)[0])
    store.damage(layout.part_key(1, 1, 0, 1), 200)
    with pytest.raises(DamagedError, match="parts/"):
        commit_when_complete(store, 1, 1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 1}, "out of range"),
        ({"step": -1}, "out of range"),
        ({"buffers": []}, "0 buffers"),
        ({"scalars": {"a": (1, 2)}}, r"scalars\.a: tuple"),
        ({"extra": {"a": [float, 1]}}, r"extra\.a\[0\]: type"),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(changes: dict[str, object], message: str) -> None:
    store = MemoryStore()
    with pytest.raises(CheckpointError, match=message):
        _write(store, dataclasses.replace(make_states(1, 1)[0], **changes))
    assert store.calls == []


def test_a_buffer_of_the_wrong_size_names_its_tensor() -> None:
    state = make_states(1, 1)[0]
    buffers = [state.buffers[0][:-4], *state.buffers[1:]]
    with pytest.raises(CheckpointError, match=r"embed.weight \(fp32\): 1624 bytes .* expected 1628"):
        _write(MemoryStore(), dataclasses.replace(state, buffers=buffers))


def test_equal_intervals_twice_are_refused() -> None:
    state = make_states(1, 1)[0]
    twice = dataclasses.replace(
        state, entries=(*state.entries, state.entries[0]), buffers=[*state.buffers, state.buffers[0]]
    )
    with pytest.raises(CheckpointError, match="occurs twice"):
        _write(MemoryStore(), twice)


def test_loading_a_commit_notices_what_is_gone_or_changed() -> None:
    store = MemoryStore()
    save(store, make_states(1, 2))
    info = list_commits(store)[0]
    key = layout.part_key(1, 1, 1, 2)
    store.damage(key, 300, mask=1)
    with pytest.raises(DamagedError, match="does not match its xxh3-128"):
        load_commit(store, info)
    store.delete([key])
    with pytest.raises(DamagedError, match="is gone"):
        load_commit(store, info)
    store.damage(info.key, 150)
    with pytest.raises(DamagedError, match="commit/"):
        load_commit(store, info)


def test_errors_survive_pickling() -> None:
    for error in (DamagedError("a"), FencedError("b"), StoreFull("c"), ObjectMissing("d")):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (type(copy), str(copy)) == (type(error), str(error))


def test_a_commit_says_when_and_from_where() -> None:
    commit = save(MemoryStore(), make_states(3, 2)).commit
    assert isinstance(commit, Commit)
    assert commit.time_s > 1.7e9
    assert [reference.key for reference in commit.ranks] == [
        layout.part_key(3, 1, rank, 2) for rank in (0, 1)
    ]
    assert MASTER == "fp32"
