"""Recipe `lm_ladder`: decoder language models of many sizes on the catalogue's text, measured in nats per byte."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn

from recipes.collectives import gather
from recipes.config import CatalogueTextConfig, LmLadderConfig, ModelConfig
from recipes.lm_corpus import Corpus, open_corpus
from recipes.lm_data import HeldOutText, TextData
from recipes.models import build_model
from recipes.protocol import Batch, Forward, MicroLoss, TrainData


class LmLadder:
    """Trains a language model on what the catalogue says of its training entities. Satisfies Recipe.

    A user's own model takes a batch with `inputs` and `targets`, as LanguageModel, and returns the nats of each target.
    """

    def __init__(self, config: LmLadderConfig, model: ModelConfig, data: CatalogueTextConfig) -> None:
        self._config = config
        self._model = model
        self._data = data

    def model(self) -> nn.Module:
        """Build the model. Raises TargetError subclasses for a user's own."""
        return build_model(self._model)

    def data(self, *, seed: int, global_batch: int) -> TrainData:
        """Open the corpus; made and kept in the local cache on first use. Raises CatalogueError kinds."""
        return TextData(self._corpus, self._data, seed=seed, global_batch=global_batch)

    def losses(self, forward: Forward, micro_batches: Sequence[Batch]) -> Iterator[MicroLoss]:
        """Yield each micro-batch's mean nats per token: all have equally many, so the step's loss is their mean."""
        for batch in micro_batches:
            loss = forward(batch).mean()
            yield MicroLoss(loss, loss.detach().float())

    def evaluate(self, forward: Forward, *, full: bool) -> dict[str, float]:
        """Return nats per byte of held-out text, and of how many bytes; `full`: also of all that is held out.

        Bytes and not tokens, so that runs with different tokenizers compare.
        """
        metrics = self._measured(forward, "heldout", self._data.heldout_bytes)
        if full and self._config.measure_all and self._data.heldout_bytes is not None:
            metrics |= self._measured(forward, "heldout_all", None)
        return metrics

    def _measured(self, forward: Forward, name: str, limit_bytes: int | None) -> dict[str, float]:
        text = HeldOutText(self._corpus, self._data.sequence_length, limit_bytes)
        of_sequences = []
        for batch, counts in text.batches():
            nats = forward(batch)
            of_sequences.append((nats * counts.to(nats.device)).sum(dim=1))
        total = gather(torch.cat(of_sequences)).cpu().double().sum().item()
        return {
            f"{name}/nats_per_byte": total / text.num_bytes,
            f"n/{name}_bytes": float(text.num_bytes),
            f"n/{name}_tokens": float(text.num_tokens),
        }

    @cached_property
    def _corpus(self) -> Corpus:
        return open_corpus(self._data)
