"""kill -9 of trainers and keepers at the worst moments."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from checkpoint.commits import usable_commits
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store
from tests.distributed.spawn import run_ranks
from tests.fixtures_checkpointer import DEADLINE_S, TinyRun, alive, end_keepers, eventually, keeper_pids, same


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_keepers(tmp_path / "keeper.log")


def steps(run: TinyRun) -> list[int]:
    return [info.step for info in usable_commits(open_store(run.url, {}))]


def test_a_keeper_that_dies_during_a_save_is_replaced_and_the_save_done_again(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    for step in (1, 2):
        run.step(step)
        checkpointer.snapshot(step, {})
    (first,) = keeper_pids(run.log)
    os.kill(first, signal.SIGSTOP)
    assert checkpointer.save()
    os.kill(first, signal.SIGKILL)
    for step in (3, 4, 5):
        run.step(step)
        checkpointer.snapshot(step, {})
    (report,) = checkpointer.wait(DEADLINE_S)
    assert (report.step, report.ok) == (2, True), "the slot was pinned until the second keeper had saved it"
    assert steps(run) == [2]
    assert len(keeper_pids(run.log)) == 2
    checkpointer.close(retire=True)


def test_a_keeper_that_died_between_saves_is_replaced_by_the_next_one(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    run.step(1)
    checkpointer.snapshot(1, {})
    (first,) = keeper_pids(run.log)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not alive(first), "the keeper is dead")
    run.step(2)
    checkpointer.snapshot(2, {})
    assert checkpointer.reports() == []
    assert checkpointer.save()
    assert checkpointer.wait(DEADLINE_S)[0].ok
    checkpointer.close(retire=True)


def save_and_be_killed(folder: Path) -> None:
    """Ask for a save while the keeper is stopped, and die before it goes on."""
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    for step in (1, 2, 3):
        run.step(step)
        checkpointer.snapshot(step, {"position": step})
    os.kill(keeper_pids(run.log)[-1], signal.SIGSTOP)
    checkpointer.save()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_keeper_finishes_the_save_of_a_trainer_that_was_killed(folder: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=save_and_be_killed, args=(folder,))
    process.start()
    process.join(DEADLINE_S)
    assert process.exitcode == -signal.SIGKILL
    run = TinyRun(folder, seed=9)
    assert steps(run) == []
    (pid,) = keeper_pids(run.log)
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: steps(run), "the save is committed") == [3]

    checkpointer = run.checkpointer()
    restored = checkpointer.restore()
    assert restored is not None
    assert (restored.step, restored.origin, restored.extra) == (3, "slot", {"position": 3})
    expected = TinyRun(folder)
    for step in (1, 2, 3):
        expected.step(step)
    assert same(run.state(), expected.state())
    checkpointer.close(retire=True)


def train_until_killed(rank: int, world_size: int, folder: Path, fence: int, generation: int) -> int:
    """Restore, then train and snapshot each step, saving each fifth, until somebody kills the rank."""
    run = TinyRun(folder, seed=generation)
    checkpointer = run.checkpointer(rank, world_size, fence, generation=generation)
    restored = checkpointer.restore()
    first = restored.step + 1 if restored else 1
    expected = TinyRun(folder)
    for step in range(1, first):
        expected.step(step)
    if restored and not same(run.state(), expected.state()):
        raise AssertionError(f"rank {rank}: what was restored is not the state after step {restored.step}")
    for step in range(first, 10**6):
        run.step(step)
        # Stands for the collectives of a real step, which keep the ranks together.
        torch.distributed.barrier()
        checkpointer.snapshot(step, {"position": step})
        (folder / f"alive-{generation}-{rank}").write_text(f"{os.getpid()} {step}")
        if step % 5 == 0:
            checkpointer.save()
        if generation == 2 and step >= first + 5:
            break
    checkpointer.close(retire=False)
    return first


def kill_both(folder: Path, generation: int, after_step: int) -> int:
    """Kill both ranks with SIGKILL once each has taken `after_step` steps. Return the smaller last step seen."""

    def reached() -> list[list[int]] | None:
        files = [folder / f"alive-{generation}-{rank}" for rank in range(2)]
        if not all(file.exists() and file.read_text() for file in files):
            return None
        seen = [[int(part) for part in file.read_text().split()] for file in files]
        return seen if all(len(each) == 2 and each[1] >= after_step for each in seen) else None

    seen = eventually(reached, "both ranks train")
    for pid, _ in seen:
        os.kill(pid, signal.SIGKILL)
    return min(step for _, step in seen)


def test_both_ranks_are_killed_twice_and_lose_no_sealed_step(folder: Path) -> None:
    (folder / "store").mkdir()
    fence = claim_fence(open_store(str(folder / "store"), {}))
    reached = 0
    with ThreadPoolExecutor(1) as pool:
        for generation in range(3):
            ranks = pool.submit(
                run_ranks,
                train_until_killed,
                2,
                may_die=(0, 1),
                folder=folder,
                fence=fence,
                generation=generation,
            )
            if generation == 2:
                firsts = ranks.result(DEADLINE_S)
                assert firsts[0] == firsts[1] > reached
                break
            reached = kill_both(folder, generation, reached + 7)
            assert ranks.result(DEADLINE_S) == [None, None]
    assert len(keeper_pids(folder / "keeper.log")) == 1, "one keeper served all generations"
