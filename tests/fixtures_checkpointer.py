"""A tiny torch run with a Checkpointer, and a look at its keeper; for tests. Needs no DeepSpeed."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from checkpoint.adapters import adapter_for
from checkpoint.checkpointer import Checkpointer
from checkpoint.config import CheckpointConfig
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store

DEADLINE_S = 120.0


class TinyRun:
    """One process's model and optimizer. Every weight after n steps is a function of n alone."""

    def __init__(self, folder: Path, seed: int = 0, **settings: Any) -> None:
        torch.set_num_threads(1)  # sums depend on the number of threads
        torch.manual_seed(seed)
        self.folder = folder
        self.url = str(folder / "store")
        self.log = folder / "keeper.log"
        (folder / "shm").mkdir(exist_ok=True)
        self.config = CheckpointConfig(arena_folder=str(folder / "shm"), **{"linger_s": 30.0, **settings})
        self.model = torch.nn.Sequential(torch.nn.Linear(5, 11), torch.nn.BatchNorm1d(11), torch.nn.Linear(11, 3))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.adapter = adapter_for(self.model, self.optimizer)

    def checkpointer(self, rank: int = 0, world_size: int = 1, fence: int | None = None, **names: Any) -> Checkpointer:
        """Return a Checkpointer; without `fence` it claims a new one, as a supervisor would."""
        if fence is None:
            fence = claim_fence(open_store(self.url, {}))
        keywords = {"url": self.url, "run": "tiny/run", "log_path": self.log, **names}
        return Checkpointer(
            self.adapter, self.config, rank=rank, world_size=world_size, fence=fence, **keywords
        )

    def step(self, number: int) -> None:
        """Take optimizer step `number`; alike on every rank."""
        x = torch.randn(8, 5, generator=torch.Generator().manual_seed(number))
        self.model(x).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state(self) -> dict[tuple[str, str], torch.Tensor]:
        """Return copies of all state by (name, kind)."""
        return {(piece.name, piece.kind): piece.view.clone() for piece in self.adapter.wanted()}


def same(first: dict[tuple[str, str], torch.Tensor], second: dict[tuple[str, str], torch.Tensor]) -> bool:
    """Tell whether two states are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of `condition`, or fail at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {deadline_s:g} s: {what}")


def keeper_pids(log: Path) -> list[int]:
    """Return the process ids of the keepers that wrote into `log`, in the order of their first line."""
    if not log.exists():
        return []
    return list(dict.fromkeys(int(found) for found in re.findall(r"keeper\[(\d+)\]", log.read_text())))


def end_keepers(log: Path) -> None:
    """Kill the keepers that wrote into `log`."""
    for pid in keeper_pids(log):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
