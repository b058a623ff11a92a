import random
import threading

import numpy as np
import pytest
import torch
from fixtures_checkpoint import cuts, make_states, make_tensors, save

from checkpoint import layout
from checkpoint.commits import CommitInfo, list_commits, load_commit, quarantine, usable_commits
from checkpoint.errors import CheckpointError, DamagedError, IncompleteError, ObjectMissing, StoreUnavailable
from checkpoint.reader import CommitSource
from checkpoint.state import MASTER, Slice
from checkpoint.store_memory import MemoryStore
from checkpoint.verify import verify_commit


def _saved(world_size: int = 2) -> tuple[MemoryStore, CommitInfo]:
    store = MemoryStore()
    save(store, make_states(4, world_size))
    return store, list_commits(store)[0]


def _blank_slices(rank: int, world_size: int) -> list[Slice]:
    """The slices of one rank of another world, full of garbage."""
    slices = []
    for number, ((name, kind), array) in enumerate(make_tensors(4).items()):
        start, stop = cuts(array.size, world_size, shift=2 * number + 1)[rank]
        view = torch.from_numpy(np.full(stop - start, 77, dtype=array.dtype))
        slices.append(Slice(name, kind, array.shape, start, stop, view))
    return slices


@pytest.mark.parametrize("saved_by", [2, 3])
@pytest.mark.parametrize("read_by", [1, 2, 3, 5])
def test_any_world_size_reads_what_any_other_wrote(saved_by: int, read_by: int) -> None:
    store, info = _saved(saved_by)
    tensors = make_tensors(4)
    for rank in range(read_by):
        source = CommitSource(store, info)
        slices = _blank_slices(rank, read_by)
        assert source.fill(slices) > 0
        for piece in slices:
            expected = tensors[piece.name, piece.kind].reshape(-1)[piece.start : piece.stop]
            assert piece.view.numpy().tobytes() == expected.tobytes()
        assert source.step == 4
        assert source.scalars()["lr"] == 0.1 + 0.2
        assert source.extra() == {"step": 4}


def test_bfloat16_and_bool_are_filled_bit_for_bit() -> None:
    bits = torch.arange(-500, 500, dtype=torch.int16)
    store = MemoryStore()
    tensors = {("w", MASTER): bits.numpy()}
    state = make_states(1, 1, tensors=tensors)[0]
    for kind, dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        entry = state.entries[0]
        renamed = type(entry)(entry.name, kind, kind, entry.shape, entry.start, entry.stop)
        save(store, [type(state)(2 if kind == "BF16" else 3, 0, 1, 1, (renamed,), state.buffers)])
        view = torch.zeros(900, dtype=dtype)
        source = CommitSource(store, list_commits(store)[0])
        source.fill([Slice("w", kind, (1000,), 50, 950, view)])
        assert torch.equal(view.view(torch.int16), bits[50:950])


def test_a_view_is_filled_where_it_lies() -> None:
    store, info = _saved()
    whole = torch.full((37 * 11 + 20,), -1.0, requires_grad=True)
    view = whole.detach()[10 : 10 + 37 * 11]
    CommitSource(store, info).fill([Slice("embed.weight", MASTER, (37, 11), 0, 37 * 11, view)])
    np.testing.assert_array_equal(
        whole.detach().numpy()[10:-10], make_tensors(4)["embed.weight", MASTER].ravel()
    )
    assert whole.detach()[:10].eq(-1).all()
    assert whole.detach()[-10:].eq(-1).all()


@pytest.mark.parametrize(
    "view", [torch.zeros(3), torch.zeros(2, 2), torch.zeros(8)[::2]], ids=["size", "dimensions", "strided"]
)
def test_a_view_that_does_not_fit_is_refused(view: torch.Tensor) -> None:
    store, info = _saved()
    with pytest.raises(CheckpointError, match=r"block.bias \(fp32\): view of shape"):
        CommitSource(store, info).fill([Slice("block.bias", MASTER, (5,), 0, 4, view)])


def test_a_slice_of_another_type_or_shape_is_refused() -> None:
    store, info = _saved()
    source = CommitSource(store, info)
    with pytest.raises(IncompleteError, match="saved with dtype F32, wanted with dtype F64"):
        source.fill([Slice("block.bias", MASTER, (5,), 0, 5, torch.zeros(5, dtype=torch.float64))])
    with pytest.raises(IncompleteError, match="saved with shape"):
        source.fill([Slice("block.bias", MASTER, (5, 1), 0, 5, torch.zeros(5))])
    with pytest.raises(IncompleteError, match="not in the checkpoint of step 4"):
        source.read_bytes("block.bias", "momentum")


def test_every_damaged_bit_of_tensor_data_is_found() -> None:
    store, info = _saved()
    view = load_commit(store, info)
    randomness = random.Random(1)
    chunks = [
        (manifest.objects[chunk.object].key, chunk, manifest.entries[chunk.entry])
        for manifest in view.manifests
        for chunk in manifest.chunks
    ]
    for _ in range(60):
        key, chunk, entry = randomness.choice(chunks)
        offset, mask = chunk.offset + randomness.randrange(chunk.size_bytes), 1 << randomness.randrange(8)
        store.damage(key, offset, mask)
        with pytest.raises(DamagedError) as raised:
            CommitSource(store, view).read_bytes(entry.name, entry.kind)
        for part in (entry.name, entry.kind, f"[{chunk.start}, {chunk.stop})", key):
            assert part in str(raised.value)
        report = verify_commit(store, info)
        assert len(report.damaged) == 1
        assert key in report.damaged[0]
        store.damage(key, offset, mask)
    assert verify_commit(store, info).whole


def test_every_cut_of_an_object_is_found() -> None:
    store, info = _saved()
    for key, size_bytes in load_commit(store, info).objects().items():
        for kept in {0, 1, 4095, 4096, size_bytes // 2}:
            copy = MemoryStore()
            for found in store.list(""):
                copy.put(found.key, store.get(found.key))
            copy.truncate(key, min(kept, size_bytes - 64))
            report = verify_commit(copy, info)
            assert not report.whole
            assert all(key in damage and "ends after" in damage for damage in report.damaged)


def test_an_object_that_is_gone_is_damage() -> None:
    store, info = _saved()
    key = next(iter(load_commit(store, info).objects()))
    store.delete([key])
    source = CommitSource(store, info)
    with pytest.raises(DamagedError, match="the object is gone"):
        source.fill(_blank_slices(0, 1))
    report = verify_commit(store, info)
    assert report.damaged
    assert all("is gone" in damage for damage in report.damaged)


def test_verify_reports_a_damaged_commit() -> None:
    store, info = _saved()
    assert verify_commit(store, info).num_chunks > 20
    store.damage(layout.part_key(4, 1, 0, 2), 500)
    report = verify_commit(store, info)
    assert not report.whole
    assert "parts/" in report.damaged[0]


def test_damage_on_the_way_is_read_again() -> None:
    class FlakyStore(MemoryStore):
        broken = threading.Event()

        def get_ranges(self, key, ranges):  # noqa: ANN001, ANN202 - as its base
            parts = super().get_ranges(key, ranges)
            if self.broken.is_set():
                return parts
            self.broken.set()
            return [memoryview(bytes(len(part))) for part in parts]

    store = FlakyStore()
    save(store, make_states(4, 1))
    source = CommitSource(store, list_commits(store)[0])
    np.testing.assert_array_equal(source.read_array("block.weight"), make_tensors(4)["block.weight", MASTER])
    assert store.broken.is_set()


def test_the_first_error_of_many_requests_is_raised() -> None:
    store, info = _saved()
    source = CommitSource(store, info)
    for error in (StoreUnavailable("slow"), ObjectMissing("gone")):
        store.fail_get(nth=2, error=error, prefix=layout.DATA)
        if isinstance(error, StoreUnavailable):
            with pytest.raises(StoreUnavailable):
                source.fill(_blank_slices(0, 1))
        else:
            source.fill(_blank_slices(0, 1))  # a single wrong answer is asked again
        assert store.unfired == 0


def test_resume_falls_back_to_the_checkpoint_before() -> None:
    store = MemoryStore()
    for step in (1, 2):
        save(store, make_states(step, 2))
    key = next(iter(load_commit(store, list_commits(store)[0]).objects()))
    store.damage(key, 4200)
    found = None
    for info in usable_commits(store):
        try:
            source = CommitSource(store, info)
            source.fill(_blank_slices(0, 1))
        except DamagedError as error:
            quarantine(store, info.step, str(error))
        else:
            found = source.step
            break
    assert found == 1
    assert [info.step for info in usable_commits(store)] == [1]


def test_reading_needs_no_torch() -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = (
        "import sys, checkpoint, checkpoint.reader, checkpoint.persist, checkpoint.stores, checkpoint.export,"
        " checkpoint.verify, checkpoint.sweep, checkpoint.store_object, checkpoint.fence;"
        "assert 'torch' not in sys.modules, 'torch'; assert 'fsspec' not in sys.modules, 'fsspec';"
        "assert checkpoint.open_store and set(checkpoint.__all__) <= set(dir(checkpoint));"
        "needs_torch = {'Candidate', 'Checkpointer', 'Restored', 'adapter_for'};"
        "[getattr(checkpoint, name) for name in set(checkpoint.__all__) - needs_torch];"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
