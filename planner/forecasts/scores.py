"""How good the forecasts in a ledger were: error, coverage by level, and how far time and memory are off."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from planner.forecasts.ledger_entries import Entry, Forecast, Outcome, Predicted, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many of the measured values lay inside the intervals of one level."""

    level: float
    inside: int
    of: int

    @property
    def share(self) -> float:
        """The part that lay inside; to be compared with `level`."""
        return self.inside / self.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One quantity as one law forecast it, over the runs that finished. Errors are of the logarithm, as fractions."""

    law: str
    quantity: str
    count: int
    mean_absolute_error: float
    median_absolute_error: float
    worst_absolute_error: float
    bias: float
    """Mean of ln(forecast / measured)."""
    coverage: tuple[Coverage, ...]

    @property
    def calibration(self) -> float:
        """By what to multiply the next forecast: the geometric mean of measured over forecast."""
        return math.exp(-self.bias)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with what is derived."""
        coverage = [{**asdict(level), "share": level.share} for level in self.coverage]
        return {**asdict(self), "coverage": coverage, "calibration": self.calibration}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a ledger, and the runs by where they are."""

    scores: tuple[Score, ...]
    finished: int
    diverged: int
    failed: int
    pending: int
    """Forecast, without a result."""
    late: int
    """Forecasts written after their run had started; they are not scored."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        counts = {name: getattr(self, name) for name in ("finished", "diverged", "failed", "pending", "late")}
        return {"scores": [score.to_json() for score in self.scores], **counts}


@dataclass(frozen=True, slots=True)
class _Pair:
    law: str
    quantity: str
    predicted: Predicted
    measured: float


def score(entries: Sequence[Entry]) -> Scores:
    """Return the scores of a ledger's entries. A run counts by its last result; its quantities when it finished."""
    forecasts = [(entry, entry.body) for entry in entries if isinstance(entry.body, Forecast)]
    results = {entry.body.run: entry.body for entry in entries if isinstance(entry.body, Result)}
    pairs: list[_Pair] = []
    late = 0
    for entry, forecast in forecasts:
        result = results.get(forecast.run)
        if result is None:
            continue
        if result.started is not None and result.started < entry.at:
            late += 1
        elif result.outcome is Outcome.FINISHED:
            pairs += _pairs(forecast, result)
    keys = dict.fromkeys((pair.law, pair.quantity) for pair in pairs)
    outcomes = [result.outcome for result in results.values()]
    return Scores(
        scores=tuple(_score([pair for pair in pairs if (pair.law, pair.quantity) == key]) for key in keys),
        finished=outcomes.count(Outcome.FINISHED),
        diverged=outcomes.count(Outcome.DIVERGED),
        failed=outcomes.count(Outcome.FAILED),
        pending=len({forecast.run for _, forecast in forecasts} - results.keys()),
        late=late,
    )


def _pairs(forecast: Forecast, result: Result) -> Iterable[_Pair]:
    for name in sorted(forecast.quantities.keys() & result.measured.keys()):
        yield _Pair(forecast.law, name, forecast.quantities[name], result.measured[name])


def _score(pairs: Sequence[_Pair]) -> Score:
    errors = [math.log(pair.predicted.value / pair.measured) for pair in pairs]
    absolute = [abs(error) for error in errors]
    levels = sorted({level for pair in pairs for level, _, _ in pair.predicted.intervals})
    return Score(
        law=pairs[0].law,
        quantity=pairs[0].quantity,
        count=len(pairs),
        mean_absolute_error=fmean(absolute),
        median_absolute_error=median(absolute),
        worst_absolute_error=max(absolute),
        bias=fmean(errors),
        coverage=tuple(_coverage(level, pairs) for level in levels),
    )


def _coverage(level: float, pairs: Sequence[_Pair]) -> Coverage:
    inside = [
        low <= pair.measured <= high for pair in pairs for at, low, high in pair.predicted.intervals if at == level
    ]
    return Coverage(level=level, inside=sum(inside), of=len(inside))
