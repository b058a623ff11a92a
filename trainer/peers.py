"""The process group of one generation, and the one collective that the step loop adds to training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from trainer.device import Device
from trainer.plan import Assignment


@dataclass(frozen=True, slots=True)
class Agreed:
    """What all ranks know after a step, equal on each: the mean loss, and whether any rank was asked to stop."""

    loss: float
    stop: bool


class Peers:
    """The ranks of this generation. A collective ends when every rank has called it, or raises on a dead peer."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size

    def propose(self, losses: list[torch.Tensor], *, stop: bool) -> "Agreement":
        """Begin to average `losses` (one scalar per micro-batch) over micro-batches and ranks; returns at once.

        Called before the optimizer step, whose own collectives wait for the slowest rank anyway: a separate wait for
        the loss would cost 1 % of a short step.
        """
        mean = torch.stack([loss.detach().double().reshape(()) for loss in losses]).mean()
        flags = torch.tensor(float(stop), dtype=torch.float64, device=mean.device)
        both = torch.stack([mean, flags])
        return Agreement(both, dist.all_reduce(both, async_op=True), self.world_size)


class Agreement:
    """What the ranks are about to agree on."""

    def __init__(self, sums: torch.Tensor, work: dist.Work, world_size: int) -> None:
        self._sums = sums
        self._work = work
        self._world_size = world_size

    def result(self) -> Agreed:
        """Block until every rank has proposed. Stops if any rank wants to. Raises RuntimeError on a dead peer."""
        self._work.wait()
        loss_sum, stops = self._sums.tolist()
        return Agreed(loss=loss_sum / self._world_size, stop=stops > 0)


def host_store() -> tuple[dist.TCPStore, str, int]:
    """Start the key-value store of a generation in this process; return it with the address that peers connect to."""
    host = _own_address()
    store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
    return store, host, store.port


def _own_address() -> str:
    # Ray knows the address by which the other nodes reach this one; without Ray there is one node.
    return os.environ.get("OSTINATO_NODE_ADDRESS", "127.0.0.1")


@contextmanager
def joined(assignment: Assignment, *, device: Device, timeout_s: float) -> Iterator[Peers]:
    """Join the default process group of a generation; leave it at the end, also when a peer died.

    Called by every rank of the generation; blocks until all have joined or `timeout_s` has passed.
    """
    rank, world_size = assignment.rank, assignment.world_size
    host, port = assignment.store_host, assignment.store_port
    os.environ.update(RANK=str(rank), LOCAL_RANK="0", WORLD_SIZE=str(world_size))
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port))
    timeout = timedelta(seconds=timeout_s)
    store = dist.TCPStore(host, port, is_master=False, timeout=timeout, wait_for_workers=False)
    prefixed = dist.PrefixStore(f"generation-{assignment.generation}", store)
    dist.init_process_group(device.backend, store=prefixed, rank=rank, world_size=world_size, timeout=timeout)
    try:
        yield Peers(rank, world_size)
    finally:
        dist.destroy_process_group()
