"""Slots of shared memory: sealed or not, never in between."""

import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from checkpoint import arena as arena_module
from checkpoint.arena import SEAL_BYTES, SLOTS, Arena, Layout, Seal
from checkpoint.arena_sets import ArenaSet, list_sets, new_set, run_folder, superseded
from checkpoint.errors import ArenaError
from checkpoint.manifest import Entry

DATA_BYTES = 4 * 100


def layout(rank: int = 0, world_size: int = 1, *, elements: int = 100) -> Layout:
    return Layout(rank, world_size, 3, 0, (Entry("w", "fp32", "F32", (elements,), 0, elements),), (0,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return run_folder(tmp_path, "run")


def make(folder: Path, generation: int = 0, rank: int = 0) -> Arena:
    path = new_set(folder, 3, generation).path(rank)
    return Arena.create(path, layout(rank), meta_capacity=1000)


def write(arena: Arena, slot: int, step: int, *, hash_data: bool = False) -> Seal:
    arena.begin(slot)[:] = bytes([step % 256]) * DATA_BYTES
    return arena.seal(slot, step, {"scalars": {"step": step}, "extra": {}}, hash_data=hash_data)


def test_a_sealed_slot_is_read_by_another_mapping(folder: Path) -> None:
    arena = make(folder)
    seal = write(arena, 1, 7, hash_data=True)
    other = Arena.open(arena.path)
    assert other.layout == arena.layout
    assert other.sealed() == [seal]
    assert other.intact(seal)
    assert other.meta(seal) == {"scalars": {"step": 7}, "extra": {}}
    assert bytes(other.data(1)) == b"\x07" * DATA_BYTES
    assert [bytes(part) for part in other.entry_data(1)] == [b"\x07" * DATA_BYTES]


def test_a_reader_cannot_change_the_arena(folder: Path) -> None:
    arena = make(folder)
    seal = write(arena, 0, 1, hash_data=True)
    Arena.open(arena.path).data(0)[:] = bytes(DATA_BYTES)
    assert arena.intact(seal)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_seal_counts_only_when_all_of_it_is_written(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A writer may die after any byte of the seal, over whatever an older seal left there."""
    arena = make(run_folder(tmp_path_factory.getbasetemp(), f"torn-{os.urandom(4).hex()}"))
    old_step = data.draw(st.integers(0, 2**40))
    step = data.draw(st.integers(0, 2**40))
    write(arena, 0, old_step)
    sealed = write(arena, 0, step)
    start = arena._slot(0)
    complete = bytes(arena._bytes[start : start + SEAL_BYTES])
    written = data.draw(st.integers(0, SEAL_BYTES - 1))
    arena.begin(0)
    arena._bytes[start : start + written] = complete[:written]
    assert arena.read_seal(0) in {None, sealed}
    assert (arena.read_seal(0) == sealed) == (complete[written:] == bytes(SEAL_BYTES - written))
    arena.close()
    arena.path.unlink()


def test_every_torn_length_of_erasing_a_seal_leaves_none_or_the_old_one(folder: Path) -> None:
    arena = make(folder)
    old = write(arena, 0, 5)
    start = arena._slot(0)
    complete = bytes(arena._bytes[start : start + SEAL_BYTES])
    for erased in range(1, SEAL_BYTES + 1):
        arena._bytes[start : start + SEAL_BYTES] = bytes(erased) + complete[erased:]
        assert arena.read_seal(0) is None
    arena._bytes[start : start + SEAL_BYTES] = complete
    assert arena.read_seal(0) == old


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, SEAL_BYTES - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_of_a_seal_is_found(position: int, flip: int) -> None:
    packed = bytearray(arena_module._pack_seal(Seal(0, 9, 10, 20, 30, 40)))
    packed[position] ^= flip
    assert arena_module._unpack_seal(0, bytes(packed)) is None


def test_slots_rotate_and_the_newest_sealed_one_is_never_written(folder: Path) -> None:
    arena = make(folder)
    for step in range(10):
        slot = arena.free_slot()
        assert all(seal.slot != slot for seal in arena.sealed()[:1])
        write(arena, slot, step)
        assert arena.sealed()[0].step == step
    assert [seal.step for seal in arena.sealed()] == [9, 8, 7]


def test_a_pinned_slot_is_passed_over(folder: Path) -> None:
    arena = make(folder)
    pinned = write(arena, 0, 0)
    arena.pinned.add(0)
    for step in range(1, 8):
        write(arena, arena.free_slot(), step)
        assert arena.read_seal(0) == pinned
        assert len(arena.sealed()) >= min(step + 1, 2)
    arena.pinned |= {1}
    write(arena, arena.free_slot(), 8)
    write(arena, arena.free_slot(), 9)
    assert arena.sealed()[0].step == 9
    arena.pinned = set(range(SLOTS))
    with pytest.raises(ArenaError, match=r"slots \[0, 1, 2\] are pinned"):
        arena.free_slot()


def test_a_damaged_slot_is_not_intact(folder: Path) -> None:
    arena = make(folder)
    seal = write(arena, 2, 4, hash_data=True)
    arena.data(2)[17] ^= 1
    assert not arena.intact(seal)
    write(arena, 2, 5)
    assert not arena.intact(seal)


def test_damaged_meta_is_an_error(folder: Path) -> None:
    arena = make(folder)
    seal = write(arena, 0, 4)
    arena._bytes[arena._slot(0) + arena_module.PAGE_BYTES] ^= 1
    with pytest.raises(ArenaError, match="meta data of step 4 is damaged"):
        arena.meta(seal)


def test_meta_that_does_not_fit_says_how_much_does(folder: Path) -> None:
    arena = make(folder)
    arena.begin(0)
    with pytest.raises(ArenaError, match="at most 1000 fit"):
        arena.seal(0, 1, {"extra": "x" * 2000})
    assert arena.sealed() == []


@pytest.mark.parametrize("position", [0, 9, 20, 40, arena_module.PAGE_BYTES + 5])
def test_a_damaged_file_is_not_opened(folder: Path, position: int) -> None:
    arena = make(folder)
    data = bytearray(arena.path.read_bytes())
    data[position] ^= 0xFF
    arena.path.write_bytes(data)
    with pytest.raises(ArenaError, match="damaged"):
        Arena.open(arena.path)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_truncated_file_is_not_opened(folder: Path, size: int) -> None:
    path = new_set(folder, 3, 0).path(0)
    path.write_bytes(bytes(size))
    with pytest.raises(ArenaError):
        Arena.open(path)


def test_an_arena_is_never_replaced(folder: Path) -> None:
    arena = make(folder)
    seal = write(arena, 0, 1)
    with pytest.raises(ArenaError, match="higher generation"):
        make(folder)
    assert Arena.open(arena.path).sealed() == [seal]
    assert [path.name for path in arena.path.parent.iterdir()] == ["r0.arena"]


def test_too_little_shared_memory_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena_module, "_free_bytes", lambda _: 5000)
    with pytest.raises(ArenaError, match=r"needs \d+ bytes .* 5000 are available: .*--shm-size.*arena_folder"):
        make(folder)
    assert ArenaSet(3, 0, folder / "3-0").ranks() == []


def test_memory_that_is_gone_when_allocated_is_the_same_error(folder: Path) -> None:
    """The file system says that there is room, and then there is none: here by the limit on the size of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(ArenaError, match="cannot create"):
            make(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(list_sets(folder)[0].folder.iterdir()) == []


def test_while_older_arenas_fill_the_memory_one_slot_is_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena_module, "_free_bytes", lambda _: 5000)
    path = new_set(folder, 3, 0).path(0)
    arena = Arena.create(path, layout(), meta_capacity=1000, reclaimable_bytes=10**6)
    assert arena._allocated == {0}, "the others are allocated when they are used"
    monkeypatch.undo()
    for step in range(4):
        write(arena, arena.free_slot(), step)
    assert arena._allocated == {0, 1, 2}


def test_sets_are_superseded_once_each_rank_has_sealed(folder: Path) -> None:
    old = [make(folder, 0, rank) for rank in range(2)]
    for arena in old:
        write(arena, 0, 1)
    new = [make(folder, 1, rank) for rank in range(2)]
    assert superseded(folder) == []
    write(new[0], 0, 2)
    assert superseded(folder) == []
    write(new[1], 0, 2)
    assert [found.generation for found in superseded(folder)] == [0]
    superseded(folder)[0].remove()
    assert [found.generation for found in list_sets(folder)] == [1]


@pytest.mark.parametrize("run", ["a", "a/b", "..", ".", "../../x", "ü ber", "x" * 200])
def test_a_run_folder_stays_inside_and_private(tmp_path: Path, run: str) -> None:
    found = run_folder(tmp_path, run)
    assert found.parent == tmp_path / f"ostinato-{os.getuid()}"
    assert found.resolve() == found
    assert found.stat().st_mode & 0o777 == 0o700
    assert run_folder(tmp_path, run) == found


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    home = tmp_path / f"ostinato-{os.getuid()}"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(ArenaError, match="nobody else can write"):
        run_folder(tmp_path, "run")


def test_a_missing_arena_folder_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match=r"checkpoint\.arena_folder = .*missing"):
        run_folder(tmp_path / "missing", "run")
