"""A user's own model and data that do wrong when `mode.json` beside this file says so: read by each new process."""

import json
import time
from pathlib import Path

import torch

MODE = json.loads(Path(__file__).with_name("mode.json").read_text())


class Model(torch.nn.Module):
    """A line fitted to points. Its output is its loss."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if "construct" in MODE:
            raise ValueError(f"width {width} is not to my liking")
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        step = int(batch["step"])
        if step >= MODE.get("slow_from", 0):
            time.sleep(MODE.get("step_s", 0.0))
        if step == MODE.get("raise_at"):
            raise ZeroDivisionError("the model divides by nothing")
        loss = (self.layer(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()
        return loss * float("nan") if step == MODE.get("nan_at") else loss


class Data:
    """Points of a normal distribution."""

    num_samples = 10**6

    def __init__(self, width: int, seed: int, global_batch: int) -> None:
        self.fingerprint = MODE.get("fingerprint", "points")
        self._shape = (global_batch, width)
        self._seed = seed

    def batch(self, step: int, start: int, stop: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self._seed * 2**32 + step)
        return {"x": torch.randn(self._shape, generator=generator)[start:stop], "step": torch.tensor(step)}

    def sample_ids(self, step: int, start: int, stop: int) -> list[int]:
        return [step * self._shape[0] + number for number in range(start, stop)]
