"""`plan predict`: the loss of a run that has not begun, with an interval that was measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, print_facts, print_json, print_table, say
from scripts.cli.plan_columns import ColumnOption, columns_of
from scripts.cli.waiting import waiting

if TYPE_CHECKING:
    from planner.forecasts import Forecaster, LossForecast

_MANY = 5_000


def predict(  # noqa: PLR0913 - the options of one command line
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="CSV or Parquet with columns params, tokens, loss")],
    *,
    params: Annotated[str, typer.Option(help="size of the run: 70B")],
    tokens: Annotated[str, typer.Option(help="its tokens: 1.4T")],
    flops: Annotated[str | None, typer.Option(help="its compute; left out: as the runs count theirs")] = None,
    level: Annotated[list[float] | None, typer.Option(help="of an interval (repeatable); left out: .5 .8 .9")] = None,
    column: ColumnOption = None,
    force: Annotated[bool, typer.Option("--force", help="answer although the evidence does not carry it")] = False,
    plot: Annotated[Path | None, typer.Option(help="folder for a picture of the frontier")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Forecast the loss of a run from finished runs; exit code 3 where they do not carry it."""
    from planner.forecasts import Forecaster
    from planner.forecasts.forecaster import LEVELS
    from planner.laws import read_runs
    from planner.quantities import read_count

    size, seen = read_count(params, "--params"), read_count(tokens, "--tokens")
    compute = None if flops is None else float(read_count(flops, "--flops"))
    read = read_runs(runs, columns_of(column))
    with waiting(f"fitting {len(read):,} runs", is_long=len(read) > _MANY) as tell:
        forecaster = Forecaster(read, tell=tell)
    found = forecaster.forecast(float(size), float(seen), flops=compute, levels=tuple(level or LEVELS), force=force)
    files = [] if plot is None else _draw(forecaster, found, plot)
    if as_json or output is OutputFormat.JSON:
        print_json({**found.to_json(), "pictures": [str(path) for path in files]})
        return ExitCode.OK
    _print(found)
    for path in files:
        say(f"picture: {path}")
    return ExitCode.OK


def _print(found: "LossForecast") -> None:
    from planner.quantities import show_count

    evidence = found.evidence
    print_facts(
        {
            "run": f"{show_count(found.params)} parameters, {show_count(found.tokens)} tokens, {found.flops:.4g} FLOPs",
            "loss": f"{found.loss:.4f}" + (" (forced: the intervals promise nothing)" if found.is_forced else ""),
            "evidence": f"{evidence.runs} runs, up to {evidence.frontier_flops:.3g} FLOPs: this asks for "
            f"{evidence.ratio:.3g} times that; data {found.data_hash}",
        }
    )
    rows = [(f"{100 * level:g} %", f"{low:.4f}", f"{high:.4f}") for level, low, high in found.intervals]
    print_table(("interval", "from", "to"), rows)
    others = [(name, f"{loss:.4f}", f"{100 * (loss / found.loss - 1):+.2f} %") for name, loss in found.families.items()]
    print_table(("other families", "loss", "beside the forecast"), others)
    for note in found.notes:
        say(f"note: {note}")


def _draw(forecaster: "Forecaster", found: "LossForecast", folder: Path) -> list[Path]:
    from planner.forecasts import draw_frontier

    try:
        return draw_frontier(forecaster, found.flops, found.data_hash, folder)
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
