"""Fitting a law to runs: variable projection for starts, a Huber polish in log space, a bootstrap of all that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import BadInputError, BadRunsError
from planner.laws.huber_polish import DELTA, Problem, polish
from planner.laws.law import Columns, Law, bounds_of, needed, values_of
from planner.laws.outliers import Dropped, drop_outliers
from planner.laws.resampling import resample_weights
from planner.laws.runs import Array, Runs

_STARTS = 4
_MANY_ROWS = 2_000
_BOOTSTRAP, _FEWEST_DRAWS = 200, 20
LEVEL = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A law with the parameters that fit best, and all that is needed to judge or repeat it."""

    law: Law
    theta: Array
    """Coordinates of the optimum, (p,)."""
    objective: float
    """Σ huber_δ(ln predicted − ln loss), the minimum that was found."""
    residual_rms: float
    """Of ln loss: .01 is one per cent."""
    runs: Runs
    """Those that were fitted, in an order of their own."""
    outliers: str
    dropped: tuple[Dropped, ...]
    draws: Array
    """Coordinates of each resample, (bootstrap, p)."""
    is_converged: bool
    """Whether no step could lower the objective any more."""
    delta: float = DELTA

    @property
    def values(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(self._names(), map(float, values_of(self.law, self.theta)), strict=True))

    def intervals(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Return the central interval of each parameter over the resamples. Raises BadInputError without resamples."""
        low, high = interval(values_of(self.law, self._drawn()), level)
        return {name: (float(low[at]), float(high[at])) for at, name in enumerate(self._names())}

    def predict(self, columns: Columns) -> Array:
        """Return the loss, (n,), at these columns."""
        return np.asarray(np.exp(self.law.surface(needed(self.law, columns)).log_loss(self.theta[None, :])[0]))

    def predict_interval(self, columns: Columns, level: float = LEVEL) -> tuple[Array, Array]:
        """Return the interval of the law's loss, each (n,). It says how well the parameters are known if the law is
        true, not how far a new run may lie from it: measured coverage of new runs is about half its level.
        """
        log_loss = self.law.surface(needed(self.law, columns)).log_loss(self._drawn())
        return interval(np.exp(log_loss), level)

    def residuals(self) -> Array:
        """Return ln loss − ln predicted of each fitted run, (n,)."""
        return np.log(self.runs.loss) - np.log(self.predict(self.runs.columns()))

    def to_json(self, level: float = LEVEL) -> dict[str, Any]:
        """Return plain values."""
        intervals = self.intervals(level) if len(self.draws) else None
        return {
            "law": self.law.name,
            "source": self.law.source,
            "parameters": self.values,
            "intervals": intervals,
            "level": level if intervals else None,
            "bootstrap": len(self.draws),
            "objective": self.objective,
            "delta": self.delta,
            "is_converged": self.is_converged,
            "residual_rms": self.residual_rms,
            "runs": len(self.runs),
            "outliers": self.outliers,
            "dropped": [{"params": run.params, "tokens": run.tokens, "loss": run.loss} for run in self.dropped],
            "data_hash": self.runs.data_hash(),
        }

    def _names(self) -> list[str]:
        return [parameter.name for parameter in self.law.parameters]

    def _drawn(self) -> Array:
        if not len(self.draws):
            raise BadInputError(f"fit of {self.law.name}: no interval without a bootstrap; fit with bootstrap=1000")
        return self.draws


def fit(
    runs: Runs,
    law: Law,
    *,
    outliers: str = "none",
    bootstrap: int = 0,
    seed: int = 0,
    delta: float = DELTA,
) -> Fit:
    """Fit `law` to `runs`: the order of the rows and the units of the columns do not change what is found.

    Each resample of the bootstrap begins at the optimum of all runs, so that it stays in its valley. Raises
    BadRunsError for runs that cannot determine the law, UnknownNameError for columns that are missing.
    """
    kept, dropped = drop_outliers(runs, outliers)
    kept = kept.ordered()
    columns = needed(law, kept.columns())
    _refuse_undetermined(law, columns, kept)
    low, high = bounds_of(law)
    problem = Problem(law.surface(columns), np.log(kept.loss), np.ones((1, len(kept))), low, high, delta)
    polished = polish(problem, _starts(law, kept, low, high, delta))
    best = int(np.argmin(polished.objective))
    theta = polished.theta[best]
    if not (np.isfinite(polished.objective[best]) and np.all(np.isfinite(theta))):
        raise BadRunsError(f"{law.name}: no finite fit to these {len(kept)} runs: {_extremes(kept)}")
    draws = np.empty((0, len(theta)))
    if bootstrap:
        weights = resample_weights(kept, bootstrap, seed)
        resampled = Problem(problem.surface, problem.log_loss, weights, low, high, delta)
        draws = polish(resampled, np.repeat(theta[None, :], bootstrap, axis=0)).theta
    residual = problem.surface.log_loss(theta[None, :])[0] - problem.log_loss
    rms = float(np.sqrt(np.mean(residual**2)))
    return Fit(
        law=law,
        theta=theta,
        objective=float(polished.objective[best]),
        residual_rms=rms,
        runs=kept,
        outliers=outliers,
        dropped=dropped,
        draws=draws,
        is_converged=bool(polished.is_converged[best]),
        delta=delta,
    )


def _starts(law: Law, runs: Runs, low: Array, high: Array, delta: float) -> Array:
    """Return where to begin; for large tables, where each row costs, the best of what some rows lead to."""
    if len(runs) <= _MANY_ROWS:
        return law.starts(needed(law, runs.columns()), runs.loss, _STARTS)
    some = runs.take(np.linspace(0, len(runs) - 1, _MANY_ROWS).round().astype(np.intp))
    columns = needed(law, some.columns())
    problem = Problem(law.surface(columns), np.log(some.loss), np.ones((1, len(some))), low, high, delta)
    found = polish(problem, law.starts(columns, some.loss, _STARTS))
    return found.theta[[int(np.argmin(found.objective))]]


def default_bootstrap(rows: int) -> int:
    """Return how many resamples are affordable by default: 200 of up to 2,000 rows, none of more than 20,000."""
    few = _BOOTSTRAP * _MANY_ROWS // max(rows, _MANY_ROWS)
    return few if few >= _FEWEST_DRAWS else 0


def _extremes(runs: Runs) -> str:
    columns = {**runs.columns(), "loss": runs.loss}
    return ", ".join(f"{name} from {values.min():g} to {values.max():g}" for name, values in columns.items())


def objective_at(runs: Runs, law: Law, values: Mapping[str, float], *, delta: float = DELTA) -> float:
    """Return the objective of given parameters, such as published ones, on these runs."""
    low, high = bounds_of(law)
    surface = law.surface(needed(law, runs.columns()))
    theta = np.array([[parameter.coordinate(values[parameter.name]) for parameter in law.parameters]])
    return float(Problem(surface, np.log(runs.loss), np.ones((1, len(runs))), low, high, delta).objective(theta)[0])


def interval(draws: Array, level: float) -> tuple[Array, Array]:
    """Return the central interval of `draws`, (b, ...), over b. Raises BadInputError for a level outside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise BadInputError(f"level = {level}: must lie between 0 and 1, such as 0.9")
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return low, high


def _refuse_undetermined(law: Law, columns: Columns, runs: Runs) -> None:
    if len(runs) <= len(law.parameters):
        raise BadRunsError(
            f"{law.name} has {len(law.parameters)} parameters: {len(runs)} runs cannot determine them; it needs at "
            f"least {len(law.parameters) + 1}"
        )
    for name, values in columns.items():
        if float(values.min()) == float(values.max()):
            raise BadRunsError(
                f"{law.name}: all {len(runs)} runs have {name} = {values[0]:g}: what it does to the loss cannot be told"
            )
