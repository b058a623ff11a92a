"""`plan fit`: scaling laws fitted to a table of runs, and the best size for a budget by each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, plural, print_facts, print_json, print_table, say
from scripts.cli.plan_columns import ColumnOption, columns_of
from scripts.cli.waiting import waiting

if TYPE_CHECKING:
    from planner.laws import Comparison, Law

_MANY = 5_000
_LAW = "laws by name, with commas between, or all that the columns allow; approaches 2 and 3 are always shown"


def fit(  # noqa: PLR0913 - the options of one command line
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="CSV or Parquet with columns params, tokens, loss")],
    *,
    column: ColumnOption = None,
    law: Annotated[str, typer.Option(help=_LAW)] = "hoffmann,tied",
    outliers: Annotated[str, typer.Option(help="none, or top:K: without the K highest losses")] = "none",
    bootstrap: Annotated[
        int | None, typer.Option(min=0, help="resamples for intervals; 0: none; left out: 200, fewer of many runs")
    ] = None,
    flops: Annotated[float | None, typer.Option(help="budget; left out: ten times the largest run")] = None,
    level: Annotated[float, typer.Option(help="of the intervals")] = 0.9,
    seed: Annotated[int, typer.Option(help="of the resamples")] = 0,
    plot: Annotated[Path | None, typer.Option(help="folder for pictures")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Fit scaling laws to runs: parameters with intervals, and the best size for a budget by each law and approach."""
    from planner.laws import compare, read_runs
    from planner.laws.fitting import default_bootstrap

    read = read_runs(runs, columns_of(column))
    draws = default_bootstrap(len(read)) if bootstrap is None else bootstrap
    with waiting(f"fitting {len(read):,} runs with {draws} resamples", is_long=len(read) > _MANY):
        found = compare(read, _laws(law), outliers=outliers, bootstrap=draws, flops=flops, level=level, seed=seed)
    is_json = as_json or output is OutputFormat.JSON
    files = _draw(found, plot) if plot is not None else []
    if is_json:
        print_json({**found.to_json(), "pictures": [str(path) for path in files]})
    else:
        _print(found)
        for path in files:
            say(f"picture: {path}")
    return ExitCode.OK


def _laws(text: str) -> "list[Law] | None":
    from planner.laws import law_named

    return None if text == "all" else [law_named(name.strip()) for name in text.split(",")]


def _print(found: "Comparison") -> None:
    first = found.fits[0]
    dropped = ", ".join(f"{run.loss:.3f}" for run in first.dropped)
    print_facts(
        {
            "runs": f"{len(first.runs)} fitted of {len(found.runs)}, data {found.runs.data_hash()}",
            "outliers": f"{first.outliers}: " + (f"left out {plural(len(first.dropped), 'run')} with losses {dropped}"
                                                 if first.dropped else "none left out"),
            "intervals": f"{100 * found.level:g} % of {len(first.draws)} resamples" if len(first.draws) else "none",
        }
    )  # fmt: skip
    for each in found.fits:
        say("")
        say(each.law.source)
        rms = 100 * each.residual_rms
        say(f"objective {each.objective:.10f} (Huber, delta {each.delta:g}), residual rms {rms:.2f} %")
        intervals = each.intervals(found.level) if len(each.draws) else {}
        rows = [(name, f"{value:.7g}", *_ends(intervals.get(name))) for name, value in each.values.items()]
        print_table(("parameter", "value", "from", "to"), rows)
    say("")
    extrapolation = found.flops / float(found.runs.flops.max())
    say(f"best size for {found.flops:.4g} FLOPs, {extrapolation:.3g} times the largest run")
    print_table(
        ("by", "exponent of C", "params", "from", "to", "tokens", "tokens/param", "loss"),
        [
            (
                row.by, f"{row.exponent:.3f}", f"{row.params:.3g}", *_ends(row.params_interval), f"{row.tokens:.3g}",
                f"{row.tokens / row.params:.3g}", None if row.loss is None else f"{row.loss:.4f}",
            )
            for row in found.rows
        ],
    )  # fmt: skip
    for note in found.notes:
        say(f"note: {note}")


def _ends(interval: tuple[float, float] | None) -> tuple[str | None, str | None]:
    return (None, None) if interval is None else (f"{interval[0]:.4g}", f"{interval[1]:.4g}")


def _draw(found: "Comparison", folder: Path) -> list[Path]:
    from planner.laws import draw_fits

    try:
        return draw_fits(found, folder)
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
