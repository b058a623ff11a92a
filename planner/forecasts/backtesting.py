"""What the forecasts would have been worth: splits of past runs, answered by the ensemble and by Approach 3.

On a user's own runs these are rolling origins: the frontier moves down through the runs, and each time what lies a
ratio below it must answer for what lies at it. A case's error is the median |ln(forecast / measured)| of its tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import BadInputError, BadRunsError, RefusedError
from planner.forecasts.ensemble import LogForecast, fit_ensemble
from planner.forecasts.interaction_law import Array
from planner.forecasts.intervals import multiplier
from planner.forecasts.splits import (
    FEWEST_RUNS,
    FEWEST_TESTS,
    LEAST_SPAN,
    LOWER_FRONTIERS,
    RATIOS,
    RunSet,
    Split,
    splits,
)
from planner.laws.fitting import fit
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import Runs

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One split, answered. Errors, biases and half-widths are fractions (of the logarithm)."""

    name: str
    family: str
    ratio: float
    frontier: float
    """The divisor of the most compute; 1 is the primary suite."""
    runs: int
    tests: int
    error: float
    bias: float
    approach3_error: float
    coverage: tuple[float, ...]
    """Part of the tests inside, by level."""
    half_width: tuple[float, ...]
    """Median over the tests, by level."""
    has_floor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSummary:
    """The cases of one ratio, each set counting once."""

    ratio: float
    cases: int
    error: float
    worst_error: float
    approach3_error: float
    worst_approach3_error: float
    worse_than_approach3: float
    """The most by which any case is worse than Approach 3; negative where none is."""
    coverage: tuple[float, ...]
    half_width: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """All cases, and by ratio those at the frontier (`primary`) and those at all frontiers (`every`)."""

    levels: tuple[float, ...]
    cases: tuple[Case, ...]
    primary: tuple[RatioSummary, ...]
    every: tuple[RatioSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The tests of one split with what was said of them: for pictures."""

    split: Split
    forecast: LogForecast
    approach3: Array
    """Loss."""
    has_floor: bool


def backtest(
    sets: Sequence[RunSet],
    *,
    ratios: Sequence[float] = RATIOS,
    frontiers: Sequence[float] = LOWER_FRONTIERS,
    levels: Sequence[float] = LEVELS,
) -> Backtest:
    """Answer every split of `sets`. Raises RefusedError when there is none, BadInputError for a ratio of 1 or less."""
    return summarize(answer(sets, ratios=ratios, frontiers=frontiers), levels)


def summarize(answers: Sequence[Answer], levels: Sequence[float] = LEVELS) -> Backtest:
    """Return errors, coverage and widths of what was answered."""
    cases = tuple(_case(each, levels) for each in answers)
    primary = [case for case in cases if case.frontier == 1.0]
    return Backtest(levels=tuple(levels), cases=cases, primary=_summaries(primary), every=_summaries(cases))


def answer(
    sets: Sequence[RunSet], *, ratios: Sequence[float] = RATIOS, frontiers: Sequence[float] = LOWER_FRONTIERS
) -> tuple[Answer, ...]:
    """Forecast the tests of every split. Raises as `backtest` does."""
    for ratio in ratios:
        if not ratio > 1.0:
            raise BadInputError(f"ratio {ratio:g}: must be greater than 1: how many times more compute than was known")
    found = splits(sets, ratios=ratios, frontiers=frontiers)
    if not found:
        raise RefusedError(
            f"no backtest at {', '.join(f'{ratio:g}' for ratio in ratios)} times the compute: it takes {FEWEST_RUNS} "
            f"runs that span a factor of {LEAST_SPAN:g} and lie that far below {FEWEST_TESTS} others; ask for smaller "
            "ratios or make more runs"
        )
    return tuple(_answer(split) for split in found)


def own_runs(runs: Runs, name: str) -> tuple[RunSet, ...]:
    """Return a user's runs as one set."""
    return (RunSet(name, name, runs),)


def sets_in_folder(folder: Path, read: Callable[[Path], Runs]) -> tuple[RunSet, ...]:
    """Return one set, a family of its own, per CSV or Parquet file of `folder`. Raises BadRunsError where none is."""
    files = sorted(path for path in folder.glob("*") if path.suffix in {".csv", ".parquet"})
    if not files:
        raise BadRunsError(f"{folder}: no .csv or .parquet file in it: give a folder with one table of runs per file")
    return tuple(RunSet(path.stem, path.stem, read(path)) for path in files)


def _answer(split: Split) -> Answer:
    tests = split.tests
    ensemble = fit_ensemble(split.evidence)
    forecast = ensemble.forecast(tests.params, tests.tokens, tests.flops)
    return Answer(split, forecast, fit(split.evidence, HOFFMANN).predict(tests.columns()), ensemble.has_floor)


def _case(of: Answer, levels: Sequence[float]) -> Case:
    split, log_loss = of.split, np.log(of.split.tests.loss)
    error = of.forecast.log_loss - log_loss
    wide = [multiplier(level) * of.forecast.scale for level in levels]
    return Case(
        name=split.name,
        family=split.family,
        ratio=split.ratio,
        frontier=split.frontier,
        runs=len(split.evidence),
        tests=len(split.tests),
        error=float(np.median(np.abs(error))),
        bias=float(error.mean()),
        approach3_error=float(np.median(np.abs(np.log(of.approach3) - log_loss))),
        coverage=tuple(float(np.mean(np.abs(error) <= half)) for half in wide),
        half_width=tuple(float(np.median(half)) for half in wide),
        has_floor=of.has_floor,
    )


def _summaries(cases: Sequence[Case]) -> tuple[RatioSummary, ...]:
    ratios = sorted({case.ratio for case in cases})
    return tuple(_summary([case for case in cases if case.ratio == ratio]) for ratio in ratios)


def _summary(cases: Sequence[Case]) -> RatioSummary:
    sets: dict[str, list[Case]] = {}
    for case in cases:
        sets.setdefault(case.name, []).append(case)

    def mean(values: Sequence[Sequence[float]]) -> float:
        return float(np.mean([np.mean(of_set) for of_set in values]))

    levels = range(len(cases[0].coverage))
    return RatioSummary(
        ratio=cases[0].ratio,
        cases=len(cases),
        error=mean([[case.error for case in of_set] for of_set in sets.values()]),
        worst_error=max(case.error for case in cases),
        approach3_error=mean([[case.approach3_error for case in of_set] for of_set in sets.values()]),
        worst_approach3_error=max(case.approach3_error for case in cases),
        worse_than_approach3=max(case.error - case.approach3_error for case in cases),
        coverage=tuple(mean([[case.coverage[at] for case in of_set] for of_set in sets.values()]) for at in levels),
        half_width=tuple(mean([[case.half_width[at] for case in of_set] for of_set in sets.values()]) for at in levels),
    )
