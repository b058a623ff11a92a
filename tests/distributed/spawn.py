"""Run a function in several processes that form one gloo group; for tests."""

import multiprocessing
import os
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import distributed


class RankError(AssertionError):
    """A rank raised, died or did not end in time."""


def run_ranks(
    function: Callable[..., Any],
    world_size: int,
    *,
    timeout_s: float = 240.0,
    may_die: Collection[int] = (),
    **kwargs: Any,
) -> list[Any]:
    """Call `function(rank, world_size, **kwargs)` in `world_size` processes, and return what each returned.

    `function` is a top-level function of an importable module. torch.distributed is initialised (gloo on loopback), and
    the environment is what torchrun would set. A rank in `may_die` may be killed by a signal: its result is None.
    Raises RankError with the traceback of the first rank that fails. No process is left behind.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.distributed.preloaded"])
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        pipes, processes = [], []
        for rank in range(world_size):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (function, rank, world_size, port, str(Path(folder) / "store"), theirs, kwargs)
            process = context.Process(target=_main, args=arguments, name=f"rank-{rank}", daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        try:
            return _collect(pipes, processes, time.monotonic() + timeout_s, may_die)
        finally:
            for process in processes:
                process.kill()
                process.join()


def _collect(
    pipes: list[Connection], processes: list[Any], deadline_s: float, may_die: Collection[int]
) -> list[Any]:
    results: list[Any] = [None] * len(pipes)
    waiting = dict(enumerate(pipes))
    while waiting:
        ready = wait(list(waiting.values()), max(0.0, deadline_s - time.monotonic()))
        if not ready:
            raise RankError(f"ranks {sorted(waiting)} did not end in time")
        for rank in [rank for rank, pipe in waiting.items() if pipe in ready]:
            try:
                ok, value = waiting.pop(rank).recv()
            except EOFError:
                processes[rank].join(10)
                if rank not in may_die:
                    raise RankError(f"rank {rank} died with exit code {processes[rank].exitcode}") from None
                continue
            if not ok:
                raise RankError(f"rank {rank} failed:\n{value}")
            results[rank] = value
    return results


def _main(
    function: Callable[..., Any],
    rank: int,
    world_size: int,
    port: int,
    store: str,
    pipe: Connection,
    kwargs: dict[str, Any],
) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        DS_ACCELERATOR="cpu",
        OMP_NUM_THREADS="1",
    )
    torch.set_num_threads(1)
    try:
        distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
        result = function(rank, world_size, **kwargs)
        distributed.destroy_process_group()
    except BaseException:  # noqa: BLE001 - told to the parent, which raises it
        pipe.send((False, traceback.format_exc()))
    else:
        pipe.send((True, result))
    finally:
        pipe.close()
        # A rank that failed may have threads that wait for others: nothing of it is worth waiting for.
        os._exit(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
