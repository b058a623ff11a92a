"""Losses of the user's own, one micro-batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from recipes.errors import TargetTypeError
from recipes.protocol import Batch, Forward, MicroLoss


def loss_of_each(
    loss: Callable[[Any, Batch], Any], forward: Forward, micro_batches: Sequence[Batch]
) -> Iterator[MicroLoss]:
    """Yield `loss(output, batch)` of each micro-batch; the step's loss is their mean over micro-batches and ranks.

    Raises TargetTypeError when it is not a tensor of one element.
    """
    for batch in micro_batches:
        value = loss(forward(batch), batch)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise TargetTypeError(f"recipe.loss gave {shape}: must be a tensor of one element")
        yield MicroLoss(value.reshape(()), value.detach().float().reshape(()))


def output_is_loss(output: object, batch: Batch) -> object:
    """Return the model's output: the loss of a model that computes it itself."""
    return output
