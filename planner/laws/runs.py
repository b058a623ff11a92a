"""Finished runs as evidence: parameters, tokens, loss and compute, with the conventions by which they were counted."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from planner.errors import UnknownNameError

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

OTHER_COLUMNS: dict[str, str] = {
    "unique_tokens": "tokens in the data set, of which a run may see each several times",
    "width": "width of the residual stream",
    "depth": "number of layers",
    "sparsity": "share of the parameters that a token does not use (mixtures of experts): 0 for a dense model",
    "finetune_tokens": "tokens of fine-tuning",
    "pretrain_tokens": "tokens of the pre-training before it",
    "learning_rate": "peak learning rate",
    "batch_tokens": "tokens of one optimizer step",
    "forward_area": "sum of the learning rates of all steps so far",
    "annealing_area": "annealed learning rate so far (planner/laws/learning_curve.py says how it is summed)",
}
"""Columns that some laws need beside those of every run. All numbers; all but `sparsity` and `annealing_area` > 0."""

MAY_BE_ZERO = ("sparsity", "annealing_area")


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
    """Runs of one group are resampled together: points of one learning curve, say."""
    seed: NDArray[np.int64] | None = None
    other: Mapping[str, Array] = field(default_factory=dict)
    """Columns of OTHER_COLUMNS that were given."""
    notes: tuple[str, ...] = ()
    """What the reader of the file wants said beside every result."""

    def __len__(self) -> int:
        return len(self.loss)

    def where(self, mask: Bools) -> "Runs":
        """Return the runs for which `mask` holds."""
        return self.take(np.flatnonzero(mask))

    def take(self, rows: NDArray[np.intp]) -> "Runs":
        """Return the runs of these rows, in their order."""
        group = None if self.group is None else self.group[rows]
        seed = None if self.seed is None else self.seed[rows]
        other = {name: values[rows] for name, values in self.other.items()}
        return Runs(
            self.params[rows], self.tokens[rows], self.loss[rows], self.flops[rows], group, seed, other, self.notes
        )

    def columns(self) -> dict[str, Array]:
        """Return every numeric column but the loss, by name: what laws are evaluated on."""
        return {"params": self.params, "tokens": self.tokens, "flops": self.flops, **self.other}

    def column(self, name: str) -> Array:
        """Return one numeric column. Raises UnknownNameError naming those there are."""
        columns = {**self.columns(), "loss": self.loss}
        if name not in columns:
            raise UnknownNameError(f"column {name!r}: not in these runs; there are {', '.join(sorted(columns))}")
        return columns[name]

    def ordered(self) -> "Runs":
        """Return the same runs in an order that depends on nothing but their values."""
        keys = [values for _, values in sorted(self.columns().items())]
        if self.seed is not None:
            keys.append(self.seed.astype(np.float64))
        if self.group is not None:
            keys.append(np.unique(self.group, return_inverse=True)[1].astype(np.float64))
        return self.take(np.lexsort((*keys, self.loss)))

    def data_hash(self) -> str:
        """Return twelve hexadecimal digits that change with any value and not with the order of the rows."""
        runs = self.ordered()
        digest = hashlib.sha256()
        for name, values in sorted({**runs.columns(), "loss": runs.loss}.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        for labels in (runs.group, runs.seed):
            digest.update(b"" if labels is None else "\n".join(map(str, labels)).encode())
        return digest.hexdigest()[:12]


def runs_of(
    params: Array, tokens: Array, loss: Array, flops: Array | None = None, **other: Array
) -> Runs:
    """Return runs from arrays, with 6 · params · tokens where no compute is given (Kaplan et al. 2020, eq. 2.2)."""
    compute = 6.0 * params * tokens if flops is None else flops
    return Runs(
        np.asarray(params, dtype=np.float64),
        np.asarray(tokens, dtype=np.float64),
        np.asarray(loss, dtype=np.float64),
        np.asarray(compute, dtype=np.float64),
        other={name: np.asarray(values, dtype=np.float64) for name, values in other.items()},
    )
