"""Recipe `custom`: a user's own model, data and loss."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from torch import nn

from recipes.config import CustomConfig, ModelConfig, TargetConfig
from recipes.errors import TargetTypeError
from recipes.micro_losses import loss_of_each, output_is_loss
from recipes.models import build_model
from recipes.protocol import Batch, Forward, MicroLoss, TrainData
from recipes.target import load_function, load_target


@runtime_checkable
class Evaluates(Protocol):
    """Data that also measures: optional for a user's own data."""

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """As Recipe.evaluate."""
        ...


class CustomRecipe:
    """Trains the user's model on the user's data. Satisfies Recipe.

    The data's `_target_` is called with its arguments and with `seed` and `global_batch`, and makes a TrainData; where
    that has a method `evaluate`, it gives the run's metrics. Without a loss the model's output is the loss.
    """

    def __init__(self, config: CustomConfig, model: ModelConfig, data: TargetConfig) -> None:
        self._config = config
        self._model = model
        self._data = data
        self._opened: object = None
        self._loss: Callable[[Any, Batch], Any] | None = None

    def model(self) -> nn.Module:
        """Build the user's model. Raises TargetError subclasses."""
        return build_model(self._model)

    def data(self, *, seed: int, global_batch: int) -> TrainData:
        """Open the user's data. Raises TargetError subclasses."""
        made = load_target(self._data, object, "data", seed=seed, global_batch=global_batch)
        needed = ("fingerprint", "num_samples", "batch", "sample_ids")
        missing = [name for name in needed if not hasattr(made, name)]
        if missing:
            raise TargetTypeError(
                f"data._target_ = {self._data.target} made a {type(made).__name__} without {', '.join(missing)}: "
                "see recipes.protocol.TrainData"
            )
        self._opened = made
        return cast(TrainData, made)

    def losses(self, forward: Forward, micro_batches: Sequence[Batch]) -> Iterator[MicroLoss]:
        """Yield the user's loss of each micro-batch."""
        if self._loss is None:
            loss = self._config.loss
            self._loss = load_function(loss, "recipe.loss") if loss else output_is_loss
        yield from loss_of_each(self._loss, forward, micro_batches)

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """Return what the user's data measures; nothing when it has no `evaluate` or was not opened."""
        return self._opened.evaluate(forward, full=full) if isinstance(self._opened, Evaluates) else {}
