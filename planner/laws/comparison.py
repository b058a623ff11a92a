"""Several laws and approaches beside each other: their disagreement is part of the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import BadInputError, BadRunsError
from planner.laws.catalogue import LAWS
from planner.laws.compute_optimal import optimum
from planner.laws.data_constrained import DATA_CONSTRAINED, DataConstrained
from planner.laws.envelope import approach_1
from planner.laws.fitting import LEVEL, Fit, fit, interval
from planner.laws.frontier import Frontier
from planner.laws.hyperparameters import fit_hyperparameters
from planner.laws.isoflop import approach_2
from planner.laws.law import Law
from planner.laws.loss_laws import HOFFMANN
from planner.laws.outliers import drop_outliers
from planner.laws.repetition import over_own_base, posterior
from planner.laws.runs import Runs

_BEYOND = 10.0
"""Times the largest compute of the runs: the budget that is looked at where none is given."""
_DISAGREEMENT = 1.5
_APPROACH_1_DRAWS = 200
"""Its resamples are not fitted at once: each is a pass over all learning curves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """The best size under the budget by one law or approach."""

    by: str
    exponent: float
    """a of N_opt ∝ C^a, at the budget."""
    params: float
    params_interval: tuple[float, float] | None
    tokens: float
    loss: float | None
    """None for approaches, which have no law of the loss."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Comparison:
    """Everything that `ostinato plan fit` shows."""

    runs: Runs
    fits: tuple[Fit, ...]
    frontiers: tuple[Frontier, ...]
    flops: float
    is_default_budget: bool
    rows: tuple[BudgetRow, ...]
    notes: tuple[str, ...]
    level: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "data_hash": self.runs.data_hash(),
            "runs": len(self.runs),
            "fits": [each.to_json(self.level) for each in self.fits],
            "frontiers": [
                {
                    "approach": each.approach,
                    "source": each.source,
                    "exponent": each.exponent,
                    "interval": each.exponent_interval(self.level),
                    "flops": each.flops.tolist() if len(each.flops) < 100 else len(each.flops),
                    "notes": list(each.notes),
                }
                for each in self.frontiers
            ],
            "flops": self.flops,
            "level": self.level,
            "optima": [
                {
                    "by": row.by,
                    "exponent": row.exponent,
                    "params": row.params,
                    "params_interval": row.params_interval,
                    "tokens": row.tokens,
                    "loss": row.loss,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def compare(
    runs: Runs,
    laws: Sequence[Law] | None = None,
    *,
    outliers: str = "none",
    bootstrap: int = 0,
    flops: float | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Comparison:
    """Fit laws and, always, approaches 2 and 3, and say where they disagree.

    Without `laws`, every law that the runs' columns and number allow is fitted. Raises BadRunsError and
    UnknownNameError for a law that was asked for and cannot be fitted; approaches that cannot be had are in the notes.
    """
    kept, _ = drop_outliers(runs, outliers)
    if flops is not None and not 0.0 < flops < np.inf:
        raise BadInputError(f"flops = {flops}: must be finite and > 0")
    budget = flops or _BEYOND * float(runs.flops.max())
    notes = list(runs.notes)
    fits = tuple(_fits(runs, laws, notes, outliers=outliers, bootstrap=bootstrap, seed=seed))
    if not fits:
        raise BadRunsError(f"no law can be fitted to these {len(runs)} runs: {'; '.join(notes)}")
    fits += _hyperparameters(kept, notes, bootstrap, seed)
    frontiers = tuple(_frontiers(kept, notes, bootstrap, seed))
    rows = tuple(_rows(fits, frontiers, budget, level))
    notes += _disagreement(rows, budget)
    notes += _repetition(fits, level)
    return Comparison(
        runs=runs, fits=fits, frontiers=frontiers, flops=budget, is_default_budget=flops is None, rows=rows,
        notes=tuple(notes), level=level,
    )  # fmt: skip


def _fits(
    runs: Runs, laws: Sequence[Law] | None, notes: list[str], *, outliers: str, bootstrap: int, seed: int
) -> Iterator[Fit]:
    columns = runs.columns()
    asked = [law for law in LAWS.values() if set(law.columns) <= set(columns)] if laws is None else list(laws)
    if HOFFMANN not in asked:
        asked.insert(0, HOFFMANN)
    for law in asked:
        try:
            over = over_own_base(drop_outliers(runs, outliers)[0]) if law is DATA_CONSTRAINED else law
            yield fit(runs, over, outliers=outliers, bootstrap=bootstrap, seed=seed)
        except BadRunsError as error:
            if laws is not None and law in laws:
                raise
            notes.append(f"not fitted: {error}")


def _hyperparameters(runs: Runs, notes: list[str], bootstrap: int, seed: int) -> tuple[Fit, ...]:
    """Fit the best learning rate and batch where the runs have both."""
    if not {"learning_rate", "batch_tokens"} <= set(runs.columns()):
        return ()
    try:
        return fit_hyperparameters(runs, bootstrap=bootstrap, seed=seed)
    except BadRunsError as error:
        notes.append(f"learning rate and batch: {error}")
        return ()


def _frontiers(runs: Runs, notes: list[str], bootstrap: int, seed: int) -> Iterator[Frontier]:
    for approach, draws in ((approach_1, min(bootstrap, _APPROACH_1_DRAWS)), (approach_2, bootstrap)):
        try:
            found = approach(runs, bootstrap=draws, seed=seed)
        except BadRunsError as error:
            notes.append(str(error))
        else:
            notes += [f"{found.approach}: {note}" for note in found.notes]
            yield found


def _rows(
    fits: Sequence[Fit], frontiers: Sequence[Frontier], flops: float, level: float
) -> Iterator[BudgetRow]:
    for each in frontiers:
        yield BudgetRow(
            by=each.approach,
            exponent=each.exponent,
            params=each.optimal_params(flops),
            params_interval=each.params_interval(flops, level),
            tokens=each.optimal_tokens(flops),
            loss=None,
        )
    for each_fit in fits:
        of = set(each_fit.law.columns)
        if each_fit.law.name not in LAWS or not {"params", "tokens"} <= of <= {"params", "tokens", "flops"}:
            continue
        theta = each_fit.theta[None, :]
        best, further = (optimum(each_fit.law, theta, flops * factor) for factor in (1.0, 1.1))
        drawn = optimum(each_fit.law, each_fit.draws, flops).params if len(each_fit.draws) else None
        band = None if drawn is None else tuple(map(float, interval(drawn, level)))
        yield BudgetRow(
            by="approach 3 (hoffmann)" if each_fit.law is HOFFMANN else each_fit.law.name,
            exponent=float(np.log(further.params[0] / best.params[0]) / np.log(1.1)),
            params=float(best.params[0]),
            params_interval=None if band is None else (band[0], band[1]),
            tokens=float(best.tokens[0]),
            loss=float(best.loss[0]),
        )


def _disagreement(rows: Sequence[BudgetRow], flops: float) -> list[str]:
    found = {row.by[:10]: row for row in rows if row.by.startswith("approach")}
    if not {"approach 2", "approach 3"} <= set(found):
        return []
    two, three = found["approach 2"].params, found["approach 3"].params
    factor = max(two, three) / min(two, three)
    if factor < _DISAGREEMENT:
        return [f"approaches 2 and 3 agree at {flops:.3g} FLOPs within a factor of {factor:.2f} in params"]
    return [
        f"approaches 2 and 3 DISAGREE by a factor of {factor:.1f} in params at {flops:.3g} FLOPs "
        f"({two:.3g} and {three:.3g}): neither is the truth; runs nearer to that budget tell"
    ]


def _repetition(fits: Sequence[Fit], level: float) -> list[str]:
    """Say what the runs know of repeated tokens, whose best fit alone would mislead."""
    for each in fits:
        if isinstance(each.law, DataConstrained):
            ends = np.array([(1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0])
            found = posterior(each.law, each.runs).quantiles(ends)
            said = "; ".join(
                f"{name} {values[1]:.3g}, {100 * level:g} % [{values[0]:.3g}, {values[2]:.3g}]"
                for name, values in found.items()
            )
            return [
                f"repeated tokens, posterior given the base: {said}: carry it, not the best fit",
                "laws without unique_tokens take repeated tokens for new ones",
            ]
    return []
