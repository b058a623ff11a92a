"""Finished runs as evidence: parameters, tokens, loss and compute, with the conventions by which they were counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Finished runs of one family (one data set, one recipe, one convention). All arrays are 1-D of one length."""

    params: Array
    tokens: Array
    loss: Array
    """Positive, in nats per token or in any unit proportional to it; never with a constant subtracted."""
    flops: Array
    """Training compute. 6 · params · tokens where nothing better was given."""
    group: NDArray[np.str_] | None = None
    seed: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.loss)

    def where(self, mask: NDArray[np.bool_]) -> "Runs":
        """Return the runs for which `mask` holds."""
        group = None if self.group is None else self.group[mask]
        seed = None if self.seed is None else self.seed[mask]
        return Runs(self.params[mask], self.tokens[mask], self.loss[mask], self.flops[mask], group, seed)
