"""What the step loop asks of a training engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from checkpoint.state import StateAdapter
from recipes.protocol import Batch
from trainer.batching import BatchPlan
from trainer.config import EngineConfig, OptimConfig
from trainer.device import Device


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is built from. `model` is on the CPU, the same on every rank."""

    model: torch.nn.Module
    optim: OptimConfig
    config: EngineConfig
    batch: BatchPlan
    device: Device


class Engine(Protocol):
    """One rank's model and optimizer. Every method is called by every rank, in the same order; all block."""

    @property
    def adapter(self) -> StateAdapter:
        """The state of this rank as named flat slices."""
        ...

    def forward(self, batch: Batch) -> Any:
        """Move `batch` to the device and run the model on it."""
        ...

    def backward(self, loss: torch.Tensor) -> None:
        """Accumulate the gradient of the scalar `loss`, averaged over micro-batches and ranks."""
        ...

    def step(self, learning_rate: float) -> float | None:
        """Clip, update the weights, clear the gradients. Return the gradient's global norm before clipping, if known.

        Called once per step, after `accumulation` calls of backward.
        """
        ...

    def set_training(self, *, training: bool) -> None:
        """Switch the model between training and evaluation mode."""
        ...


EngineFactory = Callable[[EngineSpec], Engine]
