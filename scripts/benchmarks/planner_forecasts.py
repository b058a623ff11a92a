"""The forecasts' rows of the benchmark `planner`: backtests on public studies, intervals, and the design of runs.

Approach 3 beside ours is the same splits answered by the fit of planner/laws. The studies lie in the folder that
OSTINATO_REFERENCE_DATA names; a folder in OSTINATO_UNSEEN_RUNS, of tables in the form that `ostinato plan backtest`
reads, adds rows on sets that nobody here has seen.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from planner.errors import NoReferenceDataError
from planner.forecasts import Forecaster, RunSet, backtest, sets_in_folder
from planner.forecasts.backtesting import Backtest
from planner.forecasts.calibration import candidates, coverage, nested_errors
from planner.forecasts.design_trial import try_design
from planner.forecasts.splits import LOWER_FRONTIERS, by_ratio, family_mean, splits
from planner.laws import read_runs
from planner.verification.public_studies import reference_sets
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal

UNSEEN_VARIABLE = "OSTINATO_UNSEEN_RUNS"
_GOALS = {10.0: 1.0, 30.0: 1.3, 100.0: 2.0}
_WIDEST = {10.0: 3.0, 30.0: 4.0}
_LEVEL = 0.9
_SURFACES = {"epoch240": 1e20, "llama_3": 1e20, "misfitting": 2e19}
_SEEDS = {Effort.QUICK: 6, Effort.NORMAL: 25, Effort.FULL: 60}
_SHARE = 0.5


def _error(ratio: float) -> Figure:
    return Figure(f"Loss error at {ratio:g} x compute, mean over sets", "%", Goal(at_most=_GOALS[ratio], of="ours"))


def _unseen_error(ratio: float) -> Figure:
    return Figure(f"Unseen sets: loss error at {ratio:g} x compute", "%", Goal(at_most=_GOALS[ratio], of="ours"))


_WORSE = Figure("Set that is most worse than approach 3", "points", Goal(at_most=0.2, of="ours"))
_NESTED = {ratio: Figure(f"Nested loss error at {ratio:g} x compute, mean over families", "%") for ratio in _GOALS}
_INSIDE = {
    ratio: Figure(f"90 % interval at {ratio:g} x: coverage, nested", "ratio", Goal(at_least=0.85, of="ours"))
    for ratio in _WIDEST
}
_WIDTH = {
    ratio: Figure(f"90 % interval at {ratio:g} x: half-width, nested", "%", Goal(at_most=widest, of="ours"))
    for ratio, widest in _WIDEST.items()
}
_TIME = Figure("A forecast with interval and families, 240 runs", "s", Goal(at_most=0.2, of="ours"))
_DESIGN_LOSS = Figure("Half the FLOPs / isoFLOP grid: error of loss, worst", "ratio", Goal(at_most=1.0, of="ours"))
_DESIGN_SIZE = Figure("Half the FLOPs / isoFLOP grid: error of size, worst", "ratio", Goal(at_most=1.0, of="ours"))

FIGURES: tuple[Figure, ...] = (
    *(_error(ratio) for ratio in _GOALS), _WORSE, *_NESTED.values(), *_INSIDE.values(), *_WIDTH.values(), _TIME,
    _DESIGN_LOSS, _DESIGN_SIZE, *(_unseen_error(ratio) for ratio in _GOALS),
)  # fmt: skip


@contextmanager
def _forecasts(effort: Effort) -> Iterator[Contest]:
    try:
        sets = reference_sets()
    except NoReferenceDataError as error:
        yield Contest(ours=dict, left_out={figure.name: str(error) for figure in FIGURES})
        return
    unseen = os.environ.get(UNSEEN_VARIABLE)
    left_out = {} if unseen else {_unseen_error(ratio).name: f"{UNSEEN_VARIABLE} is not set" for ratio in _GOALS}

    def ours() -> Mapping[str, float]:
        found = {**_backtested(backtest(sets), _error), **_nested(sets), **_designs(sets, effort), **_timed(sets)}
        found[_WORSE.name] = 100.0 * max(each.worse_than_approach3 for each in backtest(sets).primary)
        if unseen:
            found |= _backtested(backtest(sets_in_folder(Path(unseen), read_runs)), _unseen_error)
        return found

    def approach3() -> Mapping[str, float]:
        return {_error(each.ratio).name: 100.0 * each.approach3_error for each in backtest(sets).primary}

    yield Contest(ours=ours, peers={"Approach 3": approach3}, left_out=left_out)


def _backtested(found: Backtest, figure: Callable[[float], Figure]) -> dict[str, float]:
    return {figure(each.ratio).name: 100.0 * each.error for each in found.primary}


def _nested(sets: tuple[RunSet, ...]) -> dict[str, float]:
    """Return errors, coverage and widths of ensembles and multipliers chosen without the family they answer for."""
    found = splits(sets, frontiers=LOWER_FRONTIERS)
    errors = nested_errors(found, candidates())
    inside, half_widths = coverage(errors, found, _LEVEL)
    figures = {}
    for ratio, where in by_ratio(found).items():
        of_ratio = [found[at] for at in where]
        figures[_NESTED[ratio].name] = 100.0 * family_mean([errors[at].median for at in where], of_ratio)
        if ratio in _WIDEST:
            figures[_INSIDE[ratio].name] = family_mean([inside[at] for at in where], of_ratio)
            figures[_WIDTH[ratio].name] = 100.0 * family_mean([half_widths[at] for at in where], of_ratio)
    return figures


def _designs(sets: tuple[RunSet, ...], effort: Effort) -> dict[str, float]:
    trials = [
        try_design(each.runs, largest_flops=_SURFACES[each.name], share=_SHARE, seeds=_SEEDS[effort])
        for each in sets
        if each.name in _SURFACES
    ]
    return {
        _DESIGN_LOSS.name: max(trial.design_loss / trial.grid_loss for trial in trials),
        _DESIGN_SIZE.name: max(trial.design_params / trial.grid_params for trial in trials),
    }


def _timed(sets: tuple[RunSet, ...]) -> dict[str, float]:
    runs = next(each.runs for each in sets if each.name == "epoch240")
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        Forecaster(runs).forecast(float(runs.params.max()), 10 * float(runs.tokens.max()))
        times_s.append(time.perf_counter() - start_s)
    return {_TIME.name: float(np.median(times_s))}


FORECASTS = Bench(
    figures=FIGURES,
    contest=_forecasts,
    warmup_rounds=0,
    rounds={Effort.QUICK: 1, Effort.NORMAL: 1, Effort.FULL: 1},
    packages=("numpy", "scipy"),
)
