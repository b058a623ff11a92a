"""The loop on real runs: larger language models forecast before they start, made through the queue, and scored."""

import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from scripts.benchmarks.planner_series import FULL, QUICK, Level, Pair, Series

FOLDER = "OSTINATO_BENCH_FOLDER"
"""The environment variable that names the folder in which the runs lie; a later call goes on with them."""
CATALOGUE = "OSTINATO_CATALOGUE"
"""The environment variable that names a catalogue that is built already."""
_TIMEOUT_S = 3 * 3600.0

WITHIN = Figure("Loop: loss forecast within 1.5 %", "of forecasts", Goal(at_least=0.75, of="ours"))
INSIDE = Figure("Loop: loss inside its 80 % interval", "of forecasts", Goal(at_least=0.75, of="ours"))
MEAN = Figure("Loop: mean error of the loss forecast", "%", Goal(at_most=1.5, of="ours"))
WORST = Figure("Loop: worst error of the loss forecast", "%")
COUNT = Figure("Loop: forecasts of runs of 10 × the compute", "", Goal(at_least=12, of="ours"))
FIGURES = (COUNT, MEAN, WORST, WITHIN, INSIDE)
_CLOSE = 0.015


@contextmanager
def _loop(effort: Effort) -> Iterator[Contest]:
    is_full = effort is Effort.FULL
    levels = FULL if is_full else QUICK
    reason = "" if is_full else "an hour of two cores: with --full; shorter runs only show that the loop works"

    def ours() -> Mapping[str, float]:
        pairs = run(levels, "full" if is_full else "quick")
        found = figures(pairs)
        return found if is_full else {WORST.name: found[WORST.name]}

    left_out = {} if is_full else {figure.name: reason for figure in FIGURES if figure is not WORST}
    yield Contest(ours=ours, left_out=left_out)


def run(levels: tuple[Level, ...], name: str) -> list[Pair]:
    """Make what is still to be made of the series `name`, show it, and return its forecasts with their results."""
    folder = Path(os.environ.get(FOLDER) or "~/.cache/ostinato/planner_loop").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    series = Series(folder, name, [f"data.url={_catalogue(folder, name)}"])
    with series.running() as client:
        pairs = series.make(levels, client, _TIMEOUT_S)
    print_pairs(pairs)
    return pairs


def figures(pairs: list[Pair]) -> dict[str, float]:
    """Return the figures of forecasts and their results."""
    errors = [pair.error for pair in pairs]
    return {
        COUNT.name: float(len(pairs)),
        MEAN.name: 100.0 * statistics.fmean(errors),
        WORST.name: 100.0 * max(errors),
        WITHIN.name: statistics.fmean(error <= _CLOSE for error in errors),
        INSIDE.name: statistics.fmean(pair.is_inside for pair in pairs),
    }


def print_pairs(pairs: list[Pair]) -> None:
    """Write a line for each forecast to stderr, where the rounds are told too."""
    for pair in pairs:
        came = "did not finish" if pair.loss is None else f"came {pair.loss:.4f}, error {100 * pair.error:.2f} %"
        where = "inside" if pair.is_inside else "outside"
        said = f"forecast {pair.forecast:.4f}, 80 % {pair.low:.4f} to {pair.high:.4f}"
        print(f"{pair.model} at {pair.flops:.2g} FLOPs: {said}; {came}, {where}", file=sys.stderr)


def _catalogue(folder: Path, name: str) -> str:
    """Return the catalogue that is trained on: the sample for the quick series, else the whole one, built once."""
    if name == "quick":
        return "null"
    given = os.environ.get(CATALOGUE)
    if given:
        return given
    from recipes.catalogue_build import build_catalogue  # noqa: PLC0415 - fetches packages by npm

    path = folder / "catalogue"
    if not (path / "index.json").is_file():
        build_catalogue(str(path))
    return str(path)


LOOP = Bench(figures=FIGURES, contest=_loop, warmup_rounds=0, rounds=dict.fromkeys(Effort, 1))
