"""What the trainer asks of a recipe: a model, data, losses, and an evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Batch = Mapping[str, Any]
"""Tensors by name, of one group of samples. Not to be sliced: texts may lie in one flat tensor with offsets."""
Forward = Callable[[Batch], Any]
"""The engine's forward pass over one batch, which it moves to its own device; what the model returns comes back there.

Collective under ZeRO-3: every rank calls it equally often. Called with and without gradients, as the caller has set.
"""


@dataclass(frozen=True, slots=True)
class MicroLoss:
    """What one micro-batch contributes to a step.

    `backward` is the scalar whose gradient, averaged by the engine over micro-batches and ranks, is the gradient of
    the step's loss. `value` is a detached scalar; its mean over micro-batches and ranks is the loss to report.
    """

    backward: torch.Tensor
    value: torch.Tensor


class TrainData(Protocol):
    """Training samples as a pure function of (seed, step): the whole data state of a run is its step."""

    fingerprint: str
    """Hash of the content; a resumed run refuses other data."""
    num_samples: int

    def batch(self, step: int, start: int, stop: int) -> Batch:
        """Return samples `start` to `stop` of the global batch of `step`, on the CPU. Pure; any rank may ask."""
        ...

    def sample_ids(self, step: int, start: int, stop: int) -> list[int]:
        """Return the identity of the same samples, without loading them."""
        ...


class Recipe(Protocol):
    """One training task. Built inside each worker from its configuration sections alone."""

    def model(self) -> torch.nn.Module:
        """Build the model on the CPU; its weights are a function of torch's seed alone. `forward(batch)`.

        A model may have a method `checkpointable() -> list[torch.nn.Module]`: the blocks, called with positional
        tensors, whose activations the engine may recompute in the backward pass (engine.activation_checkpointing).
        """
        ...

    def data(self, *, seed: int, global_batch: int) -> TrainData:
        """Open the training data. Raises RecipeError subclasses for missing or damaged shards."""
        ...

    def losses(self, forward: Forward, micro_batches: Sequence[Batch]) -> Iterator[MicroLoss]:
        """Yield one MicroLoss per micro-batch; the caller runs backward on each before it asks for the next.

        Called by every rank once per step. May use collectives of the default process group (if there is one).
        """
        ...

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """Return metrics by name, the same on every rank; `full` at the end of a run, a short form on the way.

        Called by every rank, in evaluation mode and without gradients; collective.
        """
        ...
