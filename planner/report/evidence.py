"""Sections about finished runs: fits, approaches beside each other, forecasts, backtests, and the ledger's scores."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from planner.errors import RefusedError
from planner.forecasts.backtesting import Answer, answer, own_runs, summarize
from planner.forecasts.forecaster import Forecaster
from planner.forecasts.ledger_entries import Entry
from planner.forecasts.pictures import draw_backtest, draw_frontier
from planner.forecasts.scores import score
from planner.forecasts.splits import RATIOS
from planner.laws.comparison import Comparison, compare
from planner.laws.compute_optimal import optimum
from planner.laws.fit_plots import draw_fits
from planner.laws.fitting import Fit
from planner.laws.loss_laws import HOFFMANN
from planner.laws.runs import Runs
from planner.quantities import show_count
from planner.report.page import Block, Facts, Notes, Picture, Section, Table

_PICTURES = {
    "isoflop": "Runs of equal compute, with parabolas (dashed) and approach 3 (solid)",
    "contours": "Lines of equal loss by approach 3, the runs, and the best sizes",
    "frontier": "The best size for each compute, by each approach; points are what its line goes through",
    "residuals": "What approach 3 leaves of the runs, over compute, size and tokens",
}
_FORECAST_RATIOS = (3.0, 10.0, 30.0, 100.0)
_FARTHEST_SHOWN = 30.0
_TESTED = "Each tested run: the error of its forecast, with the 90 % interval, and that of approach 3"


def evidence_sections(
    runs: Runs, name: str, folder: Path, *, outliers: str = "none", bootstrap: int = 200
) -> list[Section]:
    """Return fits, approaches, forecasts and the backtest of a table of runs. Pictures are drawn in `folder`.

    Raises BadRunsError for runs that cannot be fitted, ImportError if matplotlib is missing.
    """
    found = compare(runs, [HOFFMANN], outliers=outliers, bootstrap=bootstrap)
    pictures = {path.stem: Picture.of(path, _PICTURES[path.stem]) for path in draw_fits(found, folder, "svg")}
    return [
        Section(
            "Fits",
            f"{len(runs)} runs from {name}, data {runs.data_hash()}: the parameters of each law with intervals of "
            f"{100 * found.level:g} % over {len(found.fits[0].draws)} resamples.",
            (*(_fitted(each, found.level) for each in found.fits), pictures["isoflop"], pictures["residuals"]),
        ),
        Section(
            "Approaches beside each other",
            "The best size for a budget by every approach that the runs allow. Where they disagree, none is the truth.",
            (_approaches(found), Notes(found.notes), pictures["frontier"], pictures["contours"]),
        ),
        _forecasts(runs, found, folder),
        _backtest(runs, name, folder),
    ]


def ledger_section(entries: Sequence[Entry], name: str) -> Section:
    """Return the scores of a ledger of forecasts."""
    found = score(entries)
    rows = tuple(
        (
            each.law, each.quantity, str(each.count), _percent(each.mean_absolute_error),
            _percent(each.worst_absolute_error), _percent(each.bias),
            ", ".join(f"{one.inside} of {one.of} in {100 * one.level:g} %" for one in each.coverage) or "-",
        )
        for each in found.scores
    )  # fmt: skip
    counts = (
        ("finished", found.finished), ("diverged", found.diverged), ("failed", found.failed),
        ("pending", found.pending), ("forecast after the start, not scored", found.late),
    )  # fmt: skip
    columns = ("law", "quantity", "runs", "error %", "worst %", "bias %", "inside intervals")
    return Section(
        "Forecasts and what came",
        f"{len(entries)} entries of {name}: forecasts were written before their runs and cannot be edited unnoticed.",
        (Facts(tuple((text, str(number)) for text, number in counts)), Table(columns, rows)),
    )


def _fitted(each: Fit, level: float) -> Table:
    intervals = each.intervals(level) if len(each.draws) else {}
    rows = tuple(
        (name, f"{value:.6g}", *(f"{end:.4g}" for end in intervals[name])) if name in intervals
        else (name, f"{value:.6g}", "-", "-")
        for name, value in each.values.items()
    )  # fmt: skip
    caption = (
        f"{each.law.source}. {len(each.runs)} runs, outliers: {each.outliers}; objective {each.objective:.10f} (Huber, "
        f"delta {each.delta:g}), residual rms {100 * each.residual_rms:.2f} %"
    )
    return Table(("parameter", "value", "from", "to"), rows, caption)


def _approaches(found: Comparison) -> Table:
    rows = tuple(
        (
            row.by, f"{row.exponent:.3f}", show_count(row.params),
            *(("-", "-") if row.params_interval is None else map(show_count, row.params_interval)),
            show_count(row.tokens), f"{row.tokens / row.params:.3g}", "-" if row.loss is None else f"{row.loss:.4f}",
        )
        for row in found.rows
    )  # fmt: skip
    times = found.flops / float(found.runs.flops.max())
    columns = ("by", "exponent of C", "params", "from", "to", "tokens", "tokens/param", "loss")
    return Table(columns, rows, f"for {found.flops:.3g} FLOPs, {times:.3g} times the largest run")


def _forecasts(runs: Runs, found: Comparison, folder: Path) -> Section:
    forecaster = Forecaster(runs)
    approach_3 = next(each for each in found.fits if each.law is HOFFMANN)
    largest = float(runs.flops.max())
    rows: list[tuple[str, ...]] = []
    refused: list[str] = []
    for ratio in _FORECAST_RATIOS:
        best = optimum(HOFFMANN, approach_3.theta[None, :], ratio * largest)
        params, tokens = float(best.params[0]), float(best.tokens[0])
        try:
            said = forecaster.forecast(params, tokens, flops=ratio * largest)
        except RefusedError as error:
            refused.append(f"{ratio:g} times the largest run: {error}")
            continue
        ends = [f"{low:.4f} to {high:.4f}" for _, low, high in said.intervals]
        others = [f"{loss:.4f}" for loss in said.families.values()]
        rows.append((f"{ratio:g}", show_count(params), show_count(tokens), f"{said.loss:.4f}", *ends, *others))
    columns = (
        "times the compute", "params", "tokens", "loss", "50 %", "80 %", "90 %", *forecaster.families,
    )  # fmt: skip
    blocks: list[Block] = [Table(columns, tuple(rows)), Notes(tuple(refused))]
    blocks += _pictures(
        draw_frontier(forecaster, _FARTHEST_SHOWN * largest, runs.data_hash(), folder, "svg"),
        "The least loss over compute with 50 and 90 % bands, and other families beside it",
    )
    return Section(
        "Forecasts",
        "Losses at the best size by approach 3, from a prior-informed ensemble whose intervals were measured on public "
        "studies; refused where the evidence does not carry them.",
        tuple(blocks),
    )




def _backtest(runs: Runs, name: str, folder: Path) -> Section:
    title, lead = "Backtest", "What forecasts of the largest of these runs from those far below them were worth."
    answers: tuple[Answer, ...] = ()
    refused = ""
    for ratios in (RATIOS, RATIOS[:1], (3.0,)):
        try:
            answers = answer(own_runs(runs, name), ratios=ratios)
            break
        except RefusedError as error:
            refused = str(error)
    if not answers:
        return Section(title, lead, (Notes((refused,)),))
    found = summarize(answers)
    rows = tuple(
        (
            f"{one.ratio:g}", str(one.cases), _percent(one.error), _percent(one.worst_error),
            _percent(one.approach3_error), " / ".join(f"{100 * share:.0f}" for share in one.coverage),
            " / ".join(f"{100 * half:.1f}" for half in one.half_width),
        )
        for one in found.every
    )  # fmt: skip
    wide = " / ".join(f"{100 * level:g}" for level in found.levels)
    columns = (
        "times the compute", "cases", "error %", "worst %", "approach 3, error %", f"inside {wide} %",
        f"half-width {wide}, %",
    )  # fmt: skip
    pictures = _pictures(draw_backtest(answers, runs.data_hash(), folder, "svg"), _TESTED)
    caption = "median over the runs of a case, mean over cases; all frontiers"
    return Section(title, lead, (Table(columns, rows, caption), *pictures))


def _pictures(paths: Iterable[Path], words: str) -> list[Picture]:
    return [Picture.of(path, words) for path in paths]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}" if np.isfinite(fraction) else "-"
