"""Ranks that restore together: FSDP2, another number of ranks, damage that only one rank sees, two nodes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from checkpoint.adapters import adapter_for
from checkpoint.arena_sets import list_sets, run_folder
from checkpoint.checkpointer import Checkpointer
from checkpoint.commits import usable_commits
from checkpoint.config import CheckpointConfig
from checkpoint.errors import AdapterError, StoreUnavailable
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store
from tests.distributed.spawn import run_ranks
from tests.fixtures_checkpointer import DEADLINE_S, TinyRun, end_keepers, same

Report = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "store").mkdir()
    yield tmp_path
    for log in tmp_path.glob("*.log"):
        end_keepers(log)


def fence_of(folder: Path) -> int:
    return claim_fence(open_store(str(folder / "store"), {}))


def trained(folder: Path, steps: int) -> TinyRun:
    run = TinyRun(folder)
    for step in range(1, steps + 1):
        run.step(step)
    return run


def save_replicated(rank: int, world_size: int, folder: Path, fence: int) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer(rank, world_size, fence)
    assert checkpointer.restore() is None
    for step in range(1, 5):
        run.step(step)
        distributed.barrier()
        checkpointer.snapshot(step, {"rank": rank})
        if step == 3:
            assert checkpointer.save()
            assert all(report.ok for report in checkpointer.wait(DEADLINE_S))
    checkpointer.close(retire=False)


def restore_replicated(rank: int, world_size: int, folder: Path, fence: int, forget: bool, damage: bool) -> Report:
    """Restore with all slots, or with those of rank 0's arena only (`forget`), or with that one damaged."""
    run = TinyRun(folder, seed=11)
    checkpointer = run.checkpointer(rank, world_size, fence)
    old = next(found for found in list_sets(run_folder(run.config.arena_folder, "tiny/run")) if found.fence == 1)
    if rank == 0:
        if forget:
            old.path(1).unlink(missing_ok=True)
        if damage:
            data = bytearray(old.path(0).read_bytes())
            data[9] ^= 0xFF
            old.path(0).write_bytes(data)
    if distributed.is_initialized():
        distributed.barrier()
    restored = checkpointer.restore()
    assert restored is not None
    right = same(run.state(), trained(folder, restored.step).state())
    checkpointer.close(retire=False)
    return {"step": restored.step, "origin": restored.origin, "extra": restored.extra, "right": right}


def test_other_numbers_of_ranks_restore_from_slots_and_without_them_from_the_store(folder: Path) -> None:
    run_ranks(save_replicated, 2, folder=folder, fence=fence_of(folder))
    slots = {"step": 4, "origin": "slot", "extra": {"rank": 0}, "right": True}
    store = {"step": 3, "origin": "store", "extra": {"rank": 0}, "right": True}
    again = {"folder": folder, "forget": False, "damage": False}
    assert run_ranks(restore_replicated, 1, fence=fence_of(folder), **again) == [slots]
    assert run_ranks(restore_replicated, 2, fence=fence_of(folder), **again) == [slots, slots]
    again["forget"] = True
    assert run_ranks(restore_replicated, 2, fence=fence_of(folder), **again) == [store, store]


def wrapped(seed: int, world_size: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 1, bias=False))
    model[0].bias.requires_grad_(False)
    mesh = init_device_mesh("cpu", (world_size,))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model, torch.optim.AdamW(model.parameters(), lr=0.01)


def fsdp_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(number))
    model(x).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def save_and_resume_fsdp(rank: int, world_size: int, folder: Path, fences: list[int]) -> list[bool]:
    (folder / "shm").mkdir(exist_ok=True)
    config = CheckpointConfig(arena_folder=str(folder / "shm"), linger_s=30.0)
    names = {"url": str(folder / "store"), "run": "fsdp", "log_path": folder / "keeper.log"}
    model, optimizer = wrapped(0, world_size)
    adapter = adapter_for(model, optimizer)
    first = Checkpointer(adapter, config, rank=rank, world_size=world_size, fence=fences[0], **names)
    for step in range(1, 4):
        fsdp_step(model, optimizer, step)
    first.snapshot(3, {})
    first.save()
    assert all(report.ok for report in first.wait(DEADLINE_S))
    first.close(retire=False)
    distributed.barrier()
    found = list_sets(run_folder(config.arena_folder, "fsdp"))[0]
    distributed.barrier()
    if rank == 0:
        found.remove()
    distributed.barrier()

    other, other_optimizer = wrapped(5, world_size)
    other_adapter = adapter_for(other, other_optimizer)
    second = Checkpointer(other_adapter, config, rank=rank, world_size=world_size, fence=fences[1], **names)
    restored = second.restore()
    assert restored is not None
    assert (restored.step, restored.origin) == (3, "store")
    equal = []
    for step in range(4, 7):
        pairs = zip(adapter.wanted(), other_adapter.wanted(), strict=True)
        equal.append(all(torch.equal(ours.view, theirs.view) for ours, theirs in pairs))
        fsdp_step(model, optimizer, step)
        fsdp_step(other, other_optimizer, step)
    second.close(retire=True)
    return equal


def test_fsdp2_resumes_bit_for_bit_with_shards_of_uneven_size(folder: Path) -> None:
    fences = [fence_of(folder), fence_of(folder)]
    assert fences == [1, 2]
    # The second claim would fence the first out: its number is taken when it is needed.
    for key in (folder / "store" / "fence").glob("*2.json"):
        key.unlink()
    assert run_ranks(save_and_resume_fsdp, 2, folder=folder, fences=fences) == [[True] * 3, [True] * 3]


def refuse_columns(rank: int, world_size: int) -> str:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (world_size,))
    model = torch.nn.Linear(4, 6)
    model.weight = torch.nn.Parameter(distribute_tensor(model.weight.detach(), mesh, [Shard(1)]))
    try:
        adapter_for(model, torch.optim.SGD(model.parameters())).owned()
    except AdapterError as error:
        return str(error)
    return "accepted"


def test_shards_that_are_no_flat_interval_are_refused_by_name() -> None:
    for message in run_ranks(refuse_columns, 2):
        assert "weight: placement S(1)" in message.replace("Shard(dim=1)", "S(1)")


def on_two_nodes(rank: int, world_size: int, folder: Path, fence: int) -> list[Any]:
    """Each rank has a shared-memory folder, and so a keeper, of its own."""
    node = folder / f"node{rank}"
    node.mkdir()
    run = TinyRun(node)
    names = {"url": str(folder / "store"), "log_path": folder / f"keeper{rank}.log"}
    checkpointer = run.checkpointer(rank, world_size, fence, **names)
    assert checkpointer.restore() is None
    outcome: list[Any] = []
    for step in range(1, 4):
        run.step(step)
        distributed.barrier()
        checkpointer.snapshot(step, {})
        assert checkpointer.save()
        (report,) = checkpointer.wait(DEADLINE_S)
        outcome.append((report.step, report.ok, report.committed))
        distributed.barrier()
    checkpointer.close(retire=False)
    again = TinyRun(node, seed=4)
    second = again.checkpointer(rank, world_size, fence, generation=1, **names)
    restored = second.restore()
    assert restored is not None
    outcome.append((restored.step, restored.origin, same(again.state(), run.state())))
    second.close(retire=True)
    return outcome


def test_keepers_of_two_nodes_save_the_same_steps(folder: Path) -> None:
    first, second = run_ranks(on_two_nodes, 2, folder=folder, fence=fence_of(folder))
    assert first == [(1, True, True), (2, True, True), (3, True, True), (3, "store", True)]
    assert second == [(1, True, False), (2, True, False), (3, True, False), (3, "store", True)]
    assert [info.step for info in usable_commits(open_store(str(folder / "store"), {}))] == [3, 2, 1]


def fail_alike(rank: int, world_size: int, folder: Path) -> str:
    run = TinyRun(folder)
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b", "allow_http": True}
    run = TinyRun(folder, storage_options=options)
    checkpointer = run.checkpointer(rank, world_size, 1, url="s3://nowhere/run")
    try:
        checkpointer.restore()
    except StoreUnavailable as error:
        return str(error)
    finally:
        checkpointer.close(retire=True)
    return "restored"


def test_an_unreachable_store_is_the_same_error_on_every_rank(folder: Path) -> None:
    first, second = run_ranks(fail_alike, 2, folder=folder)
    assert first == second
    assert "127.0.0.1:9" in first or "nowhere" in first
