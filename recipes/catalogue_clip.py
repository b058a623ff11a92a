"""Recipe `catalogue_clip`: contrastive image-text training on a symbol catalogue, evaluated by retrieval."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from torch import nn

from recipes.catalogue_data import CatalogueData
from recipes.catalogue_retrieval import CatalogueRetrieval
from recipes.clip import featurizer
from recipes.config import CatalogueClipConfig, CatalogueDataConfig, ClipModelConfig, ModelConfig
from recipes.contrastive import info_nce_losses
from recipes.micro_losses import loss_of_each
from recipes.models import build_model
from recipes.protocol import Batch, Forward, MicroLoss, TrainData
from recipes.records import Records, open_records
from recipes.target import load_function
from recipes.text_features import byte_features


class CatalogueClip:
    """Trains a two-tower model on the catalogue's training entities and vendors. Satisfies Recipe.

    A user's own model takes a batch with `images` and `text_bytes`, or one of the two, and returns something with
    `image`, `text` and `scale` as ClipOutput.
    """

    def __init__(self, config: CatalogueClipConfig, model: ModelConfig, data: CatalogueDataConfig) -> None:
        self._config = config
        self._model = model
        self._data = data
        self._featurize = featurizer(model) if isinstance(model, ClipModelConfig) else byte_features
        self._loss: Callable[[Any, Batch], Any] | None = None

    def model(self) -> nn.Module:
        """Build the model. Raises TargetError subclasses for a user's own."""
        return build_model(self._model)

    def data(self, *, seed: int, global_batch: int) -> TrainData:
        """Open the catalogue; downloads and decodes it into the local cache on first use. Raises CatalogueError."""
        return CatalogueData(
            self._records, self._data, seed=seed, global_batch=global_batch, featurize=self._featurize
        )

    def losses(self, forward: Forward, micro_batches: Sequence[Batch]) -> Iterator[MicroLoss]:
        """Yield each micro-batch's share: InfoNCE over the whole global batch, or the user's own loss of each."""
        if self._config.loss is None:
            yield from info_nce_losses(forward, micro_batches, self._config.text_to_text)
            return
        if self._loss is None:
            self._loss = load_function(self._config.loss, "recipe.loss")
        yield from loss_of_each(self._loss, forward, micro_batches)

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """Return recall at 1 and 5 by set, locale and direction, beside chance; `full`: in all locales."""
        return self._retrieval.measure(forward, full=full)

    @cached_property
    def _records(self) -> Records:
        return open_records(self._data)

    @cached_property
    def _retrieval(self) -> CatalogueRetrieval:
        return CatalogueRetrieval(self._records, self._data, self._featurize)
