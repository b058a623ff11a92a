"""Exchange of small facts between the ranks, over the default process group when there is one."""

import json

import torch
from torch import distributed

from checkpoint.adapter_torch import rank_and_world
from checkpoint.state import Json


class Ranks:
    """The ranks of torch.distributed's default group, or this process alone."""

    def __init__(self) -> None:
        self.rank, self.world_size = rank_and_world()

    def gather(self, value: Json) -> list[Json]:
        """Return the value of every rank, in the order of the ranks. Collective and blocking.

        JSON in a byte tensor, because torch's own gathering of objects unpickles what it gets.
        """
        if self.world_size == 1:
            return [value]
        text = json.dumps(value).encode()
        device = _device()
        sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(self.world_size)]
        distributed.all_gather(sizes, torch.tensor([len(text)], device=device))
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        gathered = [torch.zeros(longest, dtype=torch.uint8, device=device) for _ in range(self.world_size)]
        distributed.all_gather(gathered, padded.to(device))
        texts = [bytes(part.cpu().numpy()[: int(size)]) for part, size in zip(gathered, sizes, strict=True)]
        return [json.loads(part) for part in texts]

    def from_first(self, value: Json) -> Json:
        """Return rank 0's value on every rank. Collective and blocking."""
        return self.gather(value if self.rank == 0 else None)[0]


def _device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or "gloo" in distributed.get_backend():
        return torch.device("cpu")
    return accelerator
