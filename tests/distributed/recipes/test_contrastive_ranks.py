"""Two gloo ranks give the loss and the gradients of one process, with and without accumulation."""

import multiprocessing
import multiprocessing.queues
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.fixtures_clip import global_batch, step_gradients

SAMPLES = 12
RANKS = 2
DEADLINE_S = 90


def rank_main(rank: int, meeting: str, micro_batches: int, results: multiprocessing.queues.Queue) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(meeting, RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS, timeout=timedelta(seconds=DEADLINE_S))
    try:
        value, gradients = step_gradients(global_batch(SAMPLES), micro_batches, 0.3, rank, RANKS)
        mean = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(mean)
        for gradient in gradients.values():
            dist.all_reduce(gradient)
            gradient /= RANKS
        if rank == 0:
            results.put(((mean / RANKS).item(), {name: g.tolist() for name, g in gradients.items()}))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_ranks_change_nothing(tmp_path: Path, micro_batches: int) -> None:
    expected_value, expected = step_gradients(global_batch(SAMPLES), 1, 0.3)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=rank_main, args=(rank, str(tmp_path / "meeting"), micro_batches, results), daemon=True)
        for rank in range(RANKS)
    ]
    for process in processes:
        process.start()
    try:
        value, gradients = results.get(timeout=DEADLINE_S)
    finally:
        for process in processes:
            process.join(timeout=10)
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    assert value == pytest.approx(expected_value, abs=1e-12)
    assert set(gradients) == set(expected)
    for name, gradient in expected.items():
        found = torch.tensor(gradients[name], dtype=torch.float64)
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-12, msg=name)
