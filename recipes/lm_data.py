"""Training sequences as a pure function of (seed, step), and held-out sequences in their fixed order."""

from collections.abc import Iterator

import numpy as np
import torch

from recipes.collectives import num_ranks, own_rank
from recipes.config import CatalogueTextConfig
from recipes.errors import NothingToTrainError
from recipes.lm_corpus import Corpus
from recipes.protocol import Batch
from recipes.sample_order import shuffled_draws

_MEASURED_TOGETHER = 16


class TextData:
    """The training stream cut into sequences: each epoch shows each once, in an order of its own. Implements TrainData.

    A sequence of length T is T inputs and the T tokens that follow them one further on, so that each token of the
    stream is predicted once an epoch. Documents run on across sequences.
    """

    def __init__(self, corpus: Corpus, config: CatalogueTextConfig, *, seed: int, global_batch: int) -> None:
        """Raises NothingToTrainError when the stream does not fill one sequence."""
        self._train = corpus.train
        self._length = config.sequence_length
        self._global_batch = global_batch
        self.fingerprint = corpus.fingerprint
        self.num_samples = (len(corpus.train) - 1) // self._length
        if not self.num_samples:
            raise NothingToTrainError(
                f"data.sequence_length = {self._length}: the training text has {len(corpus.train)} tokens, too few for "
                "one sequence; choose shorter sequences or more locales"
            )
        self._order = shuffled_draws(self.num_samples, _itself, seed=seed)

    def batch(self, step: int, start: int, stop: int) -> Batch:
        """Return `inputs` and `targets`, int64 [stop - start, length]; targets are the inputs one token further on."""
        cut = [self._train[n * self._length : (n + 1) * self._length + 1] for n in self.sample_ids(step, start, stop)]
        return _batch(np.stack(cut) if cut else np.zeros((0, self._length + 1), np.uint16))

    def sample_ids(self, step: int, start: int, stop: int) -> list[int]:
        """Return the numbers of the same sequences."""
        if not 0 <= start <= stop <= self._global_batch:
            raise ValueError(f"samples {start} to {stop} of a global batch of {self._global_batch}")
        first = step * self._global_batch
        return [self._order[position] for position in range(first + start, first + stop)]


class HeldOutText:
    """The first held-out documents, as many as fit into `limit_bytes` (None: all; at least one).

    `num_bytes` and `num_tokens` count exactly what is predicted: every token of these documents, once.
    """

    def __init__(self, corpus: Corpus, sequence_length: int, limit_bytes: int | None) -> None:
        ends = corpus.heldout_ends
        count = len(ends) if limit_bytes is None else max(1, int((ends[:, 1] <= limit_bytes).sum()))
        end, self.num_bytes = (int(value) for value in ends[count - 1])
        self._tokens = corpus.heldout[:end]
        self._length = sequence_length
        self.num_tokens = end - 1

    def batches(self) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Yield this rank's share: a batch, and bool [sequences, length]: which of its targets count.

        Every rank gets equally many batches of one shape: what is missing is filled up with targets that do not count.
        """
        together = _MEASURED_TOGETHER * num_ranks()
        rounds = -(-self.num_tokens // (self._length * together))
        for number in range(rounds):
            first = (number * num_ranks() + own_rank()) * _MEASURED_TOGETHER * self._length
            place = first + self._length * np.arange(_MEASURED_TOGETHER)[:, None] + np.arange(self._length + 1)
            counts = torch.from_numpy(place[:, 1:] <= self.num_tokens)
            yield _batch(self._tokens[np.minimum(place, self.num_tokens)]), counts


def _batch(sequences: np.ndarray) -> Batch:
    tokens = torch.from_numpy(sequences.astype(np.int64))
    return {"inputs": tokens[:, :-1].contiguous(), "targets": tokens[:, 1:].contiguous()}


def _itself(item: int, generator: np.random.Generator) -> int:
    """Draw nothing: a sequence is its number."""
    return item
