"""Forecasts of single runs: the ensemble with its intervals, other families beside it, and what to know of both."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.errors import BadInputError
from planner.forecasts.ensemble import Ensemble, fit_ensemble
from planner.forecasts.evidence import Evidence, evidence_for, flops_per_6nd, refuse
from planner.forecasts.interaction_law import Array
from planner.forecasts.intervals import multiplier
from planner.forecasts.ledger_entries import Forecast, Predicted
from planner.laws.fitting import Fit, fit
from planner.laws.loss_laws import HOFFMANN, TIED
from planner.laws.runs import Runs

LAW = "ensemble-1"
"""By which name and version the ledger knows these forecasts."""
LEVELS = (0.5, 0.8, 0.9)
_FAMILIES = {"approach 3": HOFFMANN, "tied exponents": TIED}
_DISAGREE = 1.0
"""In half-widths of the 90 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossForecast:
    """What is said of one run."""

    params: float
    tokens: float
    flops: float
    loss: float
    intervals: tuple[tuple[float, float, float], ...]
    """(level, low, high)."""
    families: Mapping[str, float]
    """What other laws say, without intervals of their own."""
    evidence: Evidence
    data_hash: str
    notes: tuple[str, ...]
    is_forced: bool
    """Whether it would have been refused."""

    def interval(self, level: float) -> tuple[float, float]:
        """Return (low, high). Raises BadInputError for a level that was not asked for."""
        for known, low, high in self.intervals:
            if math.isclose(known, level):
                return low, high
        known_levels = ", ".join(f"{known:g}" for known, _, _ in self.intervals)
        raise BadInputError(f"level {level:g}: this forecast has {known_levels}")

    @property
    def disagreement(self) -> float:
        """How far the farthest family lies from the forecast, as a fraction of it."""
        return max((abs(loss / self.loss - 1.0) for loss in self.families.values()), default=0.0)

    def to_ledger(self, run: str) -> Forecast:
        """Return what a ledger keeps of it, for the run with the id `run`."""
        facts = {
            "params": self.params, "tokens": self.tokens, "flops": self.flops, "families": dict(self.families),
            "evidence": self.evidence.to_json(), "is_forced": self.is_forced,
        }  # fmt: skip
        quantities = {"loss": Predicted(self.loss, self.intervals)}
        return Forecast(run=run, law=LAW, inputs_hash=self.data_hash, quantities=quantities, facts=facts)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        intervals = [{"level": level, "low": low, "high": high} for level, low, high in self.intervals]
        return {
            "law": LAW, "params": self.params, "tokens": self.tokens, "flops": self.flops, "loss": self.loss,
            "intervals": intervals, "families": dict(self.families), "disagreement": self.disagreement,
            "evidence": self.evidence.to_json(), "data_hash": self.data_hash, "notes": list(self.notes),
            "is_forced": self.is_forced,
        }  # fmt: skip


class Forecaster:
    """The fits to one table of runs, made once; `tell` hears how many are done, of how many.

    Raises BadRunsError for runs that cannot be fitted at all.
    """

    def __init__(self, runs: Runs, *, tell: Callable[[int, int], None] | None = None) -> None:
        self.runs = runs
        self.ensemble: Ensemble = fit_ensemble(runs, tell=tell)
        self.families: Mapping[str, Fit] = {name: fit(runs, law) for name, law in _FAMILIES.items()}
        self._hash = runs.data_hash()

    def flops(self, params: float, tokens: float) -> float:
        """Return the compute of such a run, as these runs count it."""
        return 6.0 * params * tokens * flops_per_6nd(self.runs)

    def forecast(
        self,
        params: float,
        tokens: float,
        *,
        flops: float | None = None,
        levels: Sequence[float] = LEVELS,
        force: bool = False,
    ) -> LossForecast:
        """Return the forecast of a run; `flops` where its compute is known better than `self.flops` says.

        Raises RefusedError where the evidence does not carry it, unless forced; BadInputError for sizes that are not
        positive or levels outside (0, 1).
        """
        compute = self.flops(params, tokens) if flops is None else flops
        for name, value in (("params", params), ("tokens", tokens), ("flops", compute)):
            if not (math.isfinite(value) and value > 0):
                raise BadInputError(f"{name} = {value}: must be positive and finite")
        evidence = evidence_for(self.runs, params, tokens, compute)
        if not force:
            refuse(evidence)
        at = {"params": np.array([params]), "tokens": np.array([tokens]), "flops": np.array([compute])}
        forecast = self.ensemble.forecast(at["params"], at["tokens"], at["flops"])
        log_loss, sigma = float(forecast.log_loss[0]), float(forecast.scale[0])
        others = {name: float(fitted.predict(at)[0]) for name, fitted in self.families.items()}
        return LossForecast(
            params=params,
            tokens=tokens,
            flops=compute,
            loss=math.exp(log_loss),
            intervals=tuple(_interval(log_loss, sigma, level) for level in levels),
            families=others,
            evidence=evidence,
            data_hash=self._hash,
            notes=(*self.runs.notes, *evidence.notes(), *self._notes(log_loss, sigma, others)),
            is_forced=bool(evidence.reasons()),
        )

    def band(self, params: Array, tokens: Array, flops: Array, level: float) -> tuple[Array, Array, Array]:
        """Return forecast, low and high at n points, refused or not: for pictures and designs."""
        found = self.ensemble.forecast(params, tokens, flops)
        half = multiplier(level) * found.scale
        return np.exp(found.log_loss), np.exp(found.log_loss - half), np.exp(found.log_loss + half)

    def _notes(self, log_loss: float, sigma: float, others: Mapping[str, float]) -> Sequence[str]:
        notes = []
        if not self.ensemble.has_floor:
            notes.append(
                "no floor found: the runs fit a law without irreducible loss, for which the intervals were not "
                "tested; they are doubled"
            )
        half = multiplier(0.9) * sigma
        far = [name for name, loss in others.items() if abs(math.log(loss) - log_loss) > _DISAGREE * half]
        if far:
            notes.append(f"{' and '.join(far)} lie{'s' if len(far) == 1 else ''} outside the 90 % interval")
        return notes


def _interval(log_loss: float, sigma: float, level: float) -> tuple[float, float, float]:
    half = multiplier(level) * sigma
    return level, math.exp(log_loss - half), math.exp(log_loss + half)
