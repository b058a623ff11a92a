"""State of every kind of DeepSpeed engine: saved by two ranks or one, loaded by any other kind, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from checkpoint.adapters import adapter_for
from checkpoint.arena import Arena
from checkpoint.arena_sets import new_set
from checkpoint.slot_source import SlotSource, slot_sources
from checkpoint.snapshot import Snapshotter, plan_layout
from checkpoint.state import Slice
from tests.distributed.small_engines import KINDS, Kind, build, train
from tests.distributed.spawn import run_ranks

State = dict[tuple[str, str], torch.Tensor]
SAVED_AT, LATER = 3, 5


def take(adapter: Any, folder: Path, rank: int, world_size: int, step: int) -> None:
    """Seal a snapshot of this rank in a new set below `folder`."""
    layout = plan_layout(adapter.owned(), rank=rank, world_size=world_size, fence=step, generation=0)
    folder.mkdir(exist_ok=True)
    arena = Arena.create(new_set(folder, step, 0).path(rank), layout, meta_capacity=2**16)
    Snapshotter(adapter, arena, hash_data=True).take(step, {})
    arena.close()
    if distributed.is_initialized():
        distributed.barrier()


def source(folder: Path, step: int) -> SlotSource:
    return next(found for found in slot_sources(folder) if found.step == step)


def whole(folder: Path, step: int) -> State:
    """Return all tensors of a snapshot, whole, by (name, kind)."""
    found = source(folder, step)
    state: State = {}
    wanted = []
    for (name, kind), tensor in found._tensors.items():
        dtype = {"F32": torch.float32, "BF16": torch.bfloat16}[tensor.dtype]
        state[name, kind] = torch.full((tensor.num_elements,), float("nan"), dtype=dtype)
        wanted.append(Slice(name, kind, tensor.shape, 0, tensor.num_elements, state[name, kind]))
    found.fill(wanted)
    return state


def load(engine: Any, folder: Path, step: int) -> Any:
    """Fill a fresh engine, whose optimizer has never stepped, from a snapshot of anybody."""
    adapter = adapter_for(engine)
    found = source(folder, step)
    found.fill(adapter.wanted())
    adapter.load_scalars(found.scalars())
    adapter.finish_load()
    return adapter


def differences(first: State, second: State) -> list[str]:
    """Return the tensors that one state lacks, or that differ in any bit."""
    return [
        f"{name} {kind}"
<<<<<<< HEAD
        for name, kind in names
        if (kind not in ignore_kinds
        and ((name, kind) not in first or (name, kind) not in second))
        or (kind not in ignore_kinds
        and not torch.equal(first[name, kind], second[name, kind]))
=======
        for name, kind in sorted(set(first) | set(second))
        if (name, kind) not in first
        or (name, kind) not in second
        or not torch.equal(first[name, kind], second[name, kind])
>>>>>>> snapshot
    ]


def save_all(rank: int, world_size: int, root: str) -> list[str]:
    """Save each kind of engine after SAVED_AT steps, go on to LATER, and resume each from its own snapshot."""
    wrong: list[str] = []
    for kind in KINDS:
        engine = build(kind, seed=0, world_size=world_size)
        train(engine, 0, SAVED_AT, rank, world_size)
        folder = Path(root) / f"{kind}-{world_size}"
        take(adapter_for(engine), folder, rank, world_size, SAVED_AT)
        train(engine, SAVED_AT, LATER, rank, world_size)
        take(adapter_for(engine), folder, rank, world_size, LATER)

        resumed = build(kind, seed=99, world_size=world_size)
        again = Path(root) / f"{kind}-{world_size}-resumed"
        take(load(resumed, folder, SAVED_AT), again, rank, world_size, SAVED_AT)
        train(resumed, SAVED_AT, LATER, rank, world_size)
        take(adapter_for(resumed), again, rank, world_size, LATER)
        for step in (SAVED_AT, LATER):
            found = differences(whole(folder, step), whole(again, step))
            wrong += [f"{kind}, step {step}: {name}" for name in found]
        if resumed.global_steps != LATER or resumed.get_lr() != engine.get_lr():
            wrong.append(f"{kind}: {resumed.global_steps} steps, lr {resumed.get_lr()} instead of {engine.get_lr()}")
    return wrong


def load_all(rank: int, world_size: int, root: str, saved_by: str, into: str) -> list[str]:
    """Load the snapshots of `saved_by` into other kinds of engines, and compare what those then save.

    What they save is kept in folders named for the kind that loaded and `into`.
    """
    wrong: list[str] = []
    for saved, loaded in pairs():
        folder = Path(root) / f"{saved}-{saved_by}"
        engine = build(loaded, seed=7, world_size=world_size)
        again = Path(root) / f"{loaded}-{into}"
        take(load(engine, folder, SAVED_AT), again, rank, world_size, SAVED_AT)
        found = differences(whole(folder, SAVED_AT), whole(again, SAVED_AT))
        wrong += [f"{saved} of {saved_by} to {loaded} of {world_size}: {name}" for name in found]
        train(engine, SAVED_AT, SAVED_AT + 1, rank, world_size)
    return wrong


def save_and_load(rank: int, world_size: int, root: str) -> list[str]:
    return save_all(rank, world_size, root) + load_all(rank, world_size, root, "2", "2-crosswise")


def of_precision(precision: str) -> list[Kind]:
    return [kind for kind in KINDS if kind.precision == precision]


def pairs() -> list[tuple[Kind, Kind]]:
    """Return pairs (saved, loaded): each kind of a precision to the next, all around."""
    found = []
    for precision in ("fp32", "bf16"):
        kinds = of_precision(precision)
        found += [(kind, kinds[(index + 1) % len(kinds)]) for index, kind in enumerate(kinds)]
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("engines"))


def test_every_kind_resumes_as_if_never_interrupted_and_loads_the_others(root: str) -> None:
    assert run_ranks(save_and_load, 2, root=root) == [[], []]


def test_one_rank_loads_what_two_saved(root: str) -> None:
    assert run_ranks(load_all, 1, root=root, saved_by="2", into="1") == [[]]


def test_two_ranks_load_what_one_saved(root: str) -> None:
    assert run_ranks(load_all, 2, root=root, saved_by="1", into="2-again") == [[], []]
