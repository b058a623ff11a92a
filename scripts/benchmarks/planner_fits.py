"""Parts of the benchmark `planner` about fits: approach 3 beside grids of starts, and published numbers."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from planner.errors import NoReferenceDataError
from planner.laws.data_constrained import DATA_CONSTRAINED, PUBLISHED
from planner.laws.fitting import fit, objective_at
from planner.laws.loss_laws import HOFFMANN
from planner.laws.outliers import drop_outliers
from planner.laws.resampling import resample_weights
from planner.laws.runs import Runs
from planner.verification import law_data
from planner.verification.law_fits import MUENNIGHOFF_OBJECTIVE
from planner.verification.suites import checks_of
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from scripts.benchmarks.planner_grid_search import (
    SCIPY_STARTS,
    grid_search,
    package_fit,
    package_missing,
    resampled_search,
)

_RESAMPLES = 1_000
_CALLS = 15
"""Of our fit in a round, whose median counts: the peers take a minute, it takes hundredths of a second."""
_GRID = f"L-BFGS, {SCIPY_STARTS:,} starts"
_WARM = "L-BFGS from the optimum"
_PACKAGE = "chinchilla 0.2.0"
_SUITES = ("chinchilla", "data_constrained", "learning_curves", "olmo_ladder", "openclip_exponents", "step_law")

_TIME = Figure("Approach 3, 240 points: time", "ms", Goal(at_most=50.0, of="ours"))
_OBJECTIVE = Figure("Approach 3, 240 points: Huber objective", "", Goal(at_most=0.0010182741, of="ours"))
_BOOTSTRAP = Figure("Approach 3: 1,000 bootstraps", "s", Goal(at_most=5.0, of="ours"))
_DISTANCE = Figure(
    "Data-constrained, 182 rows: distance from the published objective", "", Goal(at_most=1e-8, of="ours")
)
_BETTER = Figure("Data-constrained, 182 rows: better objective", "", Goal(at_most=0.0158047, of="ours"))
_FIT_TIME = Figure("Data-constrained, 182 rows: time", "ms")
_MET = Figure("Published numbers of laws met", "share", Goal(at_least=0.95, of="ours"))
_UNEXPLAINED = Figure(
    "Published numbers of laws missed without a reason", "", Goal(at_most=0.0, of="ours"), may_be_zero=True
)

Measured = Callable[[], Mapping[str, float]]


@contextmanager
def _approach_3(effort: Effort) -> Iterator[Contest]:
    figures = (_TIME, _OBJECTIVE)
    runs = _runs_or_reason()
    if isinstance(runs, str):
        yield _left_out(figures, runs)
        return
    kept, _ = drop_outliers(runs, law_data.OUTLIERS)
    peers: dict[str, Measured] = {_GRID: lambda: _timed(lambda: grid_search(kept))}
    absent = {}
    if reason := _scipy_missing():
        absent[_GRID] = reason
    if reason := package_missing():
        absent[_PACKAGE] = reason
    else:
        peers[_PACKAGE] = lambda: _timed(lambda: package_fit(kept))
    if effort is Effort.QUICK:
        absent |= {name: "takes a minute: not with --quick" for name in (_GRID, _PACKAGE) if name not in absent}
    yield Contest(
        ours=lambda: _timed(lambda: fit(runs, HOFFMANN, outliers=law_data.OUTLIERS).objective, calls=_CALLS),
        peers={name: measure for name, measure in peers.items() if name not in absent},
        absent=absent,
    )


@contextmanager
def _bootstraps(effort: Effort) -> Iterator[Contest]:
    runs = _runs_or_reason()
    if isinstance(runs, str):
        yield _left_out((_BOOTSTRAP,), runs)
        return
    found = fit(runs, HOFFMANN, outliers=law_data.OUTLIERS)
    weights = resample_weights(found.runs, _RESAMPLES, 0)

    def ours() -> dict[str, float]:
        work = partial(fit, runs, HOFFMANN, outliers=law_data.OUTLIERS, bootstrap=_RESAMPLES)
        return {_BOOTSTRAP.name: _seconds(work)}

    def peer() -> dict[str, float]:
        start = found.theta[[1, 2, 0, 3, 4]]
        return {_BOOTSTRAP.name: _seconds(lambda: resampled_search(found.runs, weights, start))}

    reason = "takes half a minute: not with --quick" if effort is Effort.QUICK else _scipy_missing()
    yield Contest(ours=ours, peers={} if reason else {_WARM: peer}, absent={_WARM: reason} if reason else {})


@contextmanager
def _data_constrained(effort: Effort) -> Iterator[Contest]:
    del effort
    try:
        runs = law_data.data_constrained()
    except NoReferenceDataError as error:
        yield _left_out((_DISTANCE, _BETTER, _FIT_TIME), str(error))
        return

    def ours() -> dict[str, float]:
        start_s = time.perf_counter()
        found = fit(runs, DATA_CONSTRAINED)
        took_ms = 1e3 * (time.perf_counter() - start_s)
        distance = abs(objective_at(runs, DATA_CONSTRAINED, PUBLISHED) - MUENNIGHOFF_OBJECTIVE)
        return {_DISTANCE.name: distance, _BETTER.name: found.objective, _FIT_TIME.name: took_ms}

    yield Contest(ours=ours)


@contextmanager
def _published(effort: Effort) -> Iterator[Contest]:
    del effort
    try:
        checks = [check for name in _SUITES for check in checks_of(name)]
    except NoReferenceDataError as error:
        yield _left_out((_MET, _UNEXPLAINED), str(error))
        return
    missed = [check for check in checks if not check.is_met]
    figures = {
        _MET.name: 1.0 - len(missed) / len(checks),
        _UNEXPLAINED.name: float(sum(not check.note for check in missed)),
    }
    yield Contest(ours=lambda: figures)


def _runs_or_reason() -> Runs | str:
    try:
        return law_data.chinchilla()
    except NoReferenceDataError as error:
        return str(error)


def _scipy_missing() -> str:
    return "" if find_spec("scipy") else "scipy is not importable: pip install scipy"


def _left_out(figures: tuple[Figure, ...], reason: str) -> Contest:
    return Contest(ours=dict, left_out=dict.fromkeys([figure.name for figure in figures], reason))


def _seconds(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def _timed(work: Callable[[], float], calls: int = 1) -> dict[str, float]:
    times_s, objective = [], 0.0
    for _ in range(calls):
        start_s = time.perf_counter()
        objective = work()
        times_s.append(time.perf_counter() - start_s)
    return {_TIME.name: 1e3 * statistics.median(times_s), _OBJECTIVE.name: objective}


_ONCE = dict.fromkeys(Effort, 1)
APPROACH_3 = Bench(
    figures=(_TIME, _OBJECTIVE),
    contest=_approach_3,
    rounds={Effort.QUICK: 5, Effort.NORMAL: 1, Effort.FULL: 3},  # the peers take a minute each
    warmup_rounds=0,
)
BOOTSTRAPS = Bench(figures=(_BOOTSTRAP,), contest=_bootstraps, rounds=_ONCE, warmup_rounds=0)
REPEATED_TOKENS = Bench(figures=(_DISTANCE, _BETTER, _FIT_TIME), contest=_data_constrained, rounds=_ONCE)
PUBLISHED_LAWS = Bench(figures=(_MET, _UNEXPLAINED), contest=_published, rounds=_ONCE, warmup_rounds=0)
