"""The learning rate and batch size that are best for a size and a number of tokens.

Li et al. 2025, Step Law (arXiv 2503.04715), eq. 1: lr = 1.79 N^-0.713 D^0.307, batch = 0.58 D^0.571 tokens. The loss is
a bowl around them that is flat for a factor of two, so that the best run of a grid is a noisy optimum: here each cell's
optimum is the vertex of a quadratic in ln lr and ln batch through its best runs.
"""

from dataclasses import dataclass

import numpy as np

from planner.errors import BadRunsError
from planner.laws.fitting import Fit, fit
from planner.laws.power_terms import PowerTerms, Term
from planner.laws.runs import Array, Runs, runs_of

LEARNING_RATE = PowerTerms(
    name="learning_rate",
    source="Li et al. 2025, Step Law (arXiv 2503.04715), eq. 1: lr = c / (N^a D^b)",
    columns=("params", "tokens"),
    terms=(Term("c", {"a": {"params": 1.0}, "b": {"tokens": 1.0}}),),
    free_sign=("a", "b"),
)
BATCH_TOKENS = PowerTerms(
    name="batch_tokens",
    source="Li et al. 2025, Step Law (arXiv 2503.04715), eq. 1: batch = c / D^b, in tokens",
    columns=("tokens",),
    terms=(Term("c", {"b": {"tokens": 1.0}}),),
    free_sign=("b",),
)
STEP_LAW = {
    "learning_rate": {"c": 1.79, "a": 0.713, "b": -0.307},
    "batch_tokens": {"c": 0.58, "b": -0.571},
}
_BOWL = 0.02
"""Of ln loss above a cell's least: the runs that are quadratic enough."""
_FEWEST = 8
_ROBUST = 0.05
"""The Huber threshold for optima: they are known to tens of per cent, not to tenths."""


@dataclass(frozen=True, slots=True, eq=False)
class CellOptima:
    """The best learning rate and batch of each cell of (params, tokens) that has one; each array is (m,)."""

    params: Array
    tokens: Array
    learning_rate: Array
    batch_tokens: Array
    notes: tuple[str, ...]


def cell_optima(runs: Runs) -> CellOptima:
    """Return the vertex of each cell's bowl, or its best run where the bowl's vertex lies outside the runs.

    Raises UnknownNameError without the columns learning_rate and batch_tokens, BadRunsError without a usable cell.
    """
    rates, batches = np.log(runs.column("learning_rate")), np.log(runs.column("batch_tokens"))
    cells = np.unique(np.stack([runs.params, runs.tokens], axis=1), axis=0)
    found, notes = [], []
    for params, tokens in cells:
        rows = np.flatnonzero((runs.params == params) & (runs.tokens == tokens))
        rows = rows[np.log(runs.loss[rows] / runs.loss[rows].min()) < _BOWL]
        if len(rows) < _FEWEST:
            notes.append(f"params {params:g}, tokens {tokens:g}: {len(rows)} runs near the best, {_FEWEST} are needed")
            continue
        found.append((params, tokens, *_vertex(rates[rows], batches[rows], np.log(runs.loss[rows]))))
    if not found:
        raise BadRunsError(f"no cell of (params, tokens) has {_FEWEST} runs near its best: vary both")
    columns = np.array(found).T
    return CellOptima(columns[0], columns[1], np.exp(columns[2]), np.exp(columns[3]), tuple(notes))


def fit_hyperparameters(runs: Runs, *, bootstrap: int = 0, seed: int = 0) -> tuple[Fit, Fit]:
    """Return the laws of learning rate and of batch, fitted to the cells' optima. Raises as cell_optima and fit do."""
    optima = cell_optima(runs)
    fits = []
    for law, values in ((LEARNING_RATE, optima.learning_rate), (BATCH_TOKENS, optima.batch_tokens)):
        cells = runs_of(optima.params, optima.tokens, values)
        fits.append(fit(cells, law, bootstrap=bootstrap, seed=seed, delta=_ROBUST))
    return fits[0], fits[1]


def _vertex(rates: Array, batches: Array, log_loss: Array) -> tuple[float, float]:
    best = int(np.argmin(log_loss))
    x, y = rates - rates[best], batches - batches[best]
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    _, by_x, by_y, xx, xy, yy = np.linalg.lstsq(basis, log_loss, rcond=None)[0]
    bowl = np.array([[2.0 * xx, xy], [xy, 2.0 * yy]])
    if np.linalg.eigvalsh(bowl)[0] > 0.0:
        step = np.linalg.solve(bowl, [-by_x, -by_y])
        if x.min() <= step[0] <= x.max() and y.min() <= step[1] <= y.max():
            return float(rates[best] + step[0]), float(batches[best] + step[1])
    return float(rates[best]), float(batches[best])
