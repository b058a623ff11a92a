"""`plan backtest`: what forecasts from a table of runs would have been worth at each ratio of compute."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, print_json, print_table, say
from scripts.cli.plan_columns import ColumnOption, columns_of

if TYPE_CHECKING:
    from planner.forecasts import Backtest, RunSet
    from planner.forecasts.backtesting import Answer, RatioSummary

_RUNS = "CSV or Parquet with columns params, tokens, loss; or a folder of such"


def backtest(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help=_RUNS)],
    *,
    ratios: Annotated[str, typer.Option(help="how many times the compute that is known, with commas between")] = (
        "10,30,100"
    ),
    column: ColumnOption = None,
    plot: Annotated[Path | None, typer.Option(help="folder for a picture")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Forecast large runs from those far below them: errors beside Approach 3's, coverage, widths."""
    from planner.forecasts.backtesting import answer, summarize

    sets = _sets(runs, columns_of(column))
    answers = answer(sets, ratios=_ratios(ratios))
    found = summarize(answers)
    files: list[Path] = []
    if plot is not None:
        files = _draw(answers, sets, plot)
    if as_json or output is OutputFormat.JSON:
        print_json({**found.to_json(), "pictures": [str(path) for path in files]})
        return ExitCode.OK
    _print(found)
    for path in files:
        say(f"picture: {path}")
    return ExitCode.OK


def _sets(path: Path, columns: dict[str, str]) -> "tuple[RunSet, ...]":
    from planner.forecasts import own_runs, sets_in_folder
    from planner.laws import read_runs

    if path.is_dir():
        return sets_in_folder(path, lambda file: read_runs(file, columns))
    return own_runs(read_runs(path, columns), path.stem)


def _ratios(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise CommandError(f"--ratios {text}: must be numbers with commas between, such as 10,30,100") from None


def _print(found: "Backtest") -> None:
    wide = " / ".join(f"{100 * level:g}" for level in found.levels)
    columns = (
        "times the compute", "cases", "error %", "worst %", "approach 3 %", "worst %", f"inside {wide} %",
        f"half-width {wide}, %",
    )  # fmt: skip
    for title, summaries in (("at the largest run", found.primary), ("at all frontiers", found.every)):
        if summaries:
            say(title)
            print_table(columns, [_row(summary) for summary in summaries])
    say("errors: median over the runs of a case, mean over cases; a case's runs hit or miss together")


def _row(summary: "RatioSummary") -> Sequence[object]:
    return (
        f"{summary.ratio:g}", summary.cases, f"{100 * summary.error:.2f}", f"{100 * summary.worst_error:.2f}",
        f"{100 * summary.approach3_error:.2f}", f"{100 * summary.worst_approach3_error:.2f}",
        " / ".join(f"{100 * share:.0f}" for share in summary.coverage),
        " / ".join(f"{100 * half:.1f}" for half in summary.half_width),
    )  # fmt: skip


def _draw(answers: "Sequence[Answer]", sets: "Sequence[RunSet]", folder: Path) -> list[Path]:
    from planner.forecasts import draw_backtest

    hashes = " ".join(each.runs.data_hash() for each in sets)
    try:
        return draw_backtest(answers, hashes, folder)
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
