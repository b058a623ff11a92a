"""`plan report`: one HTML page about runs, a model on machines, and a budget."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, format_bytes, print_json, say
from scripts.cli.plan_columns import ColumnOption, columns_of
from scripts.cli.plan_options import read_model, today
from scripts.cli.plan_recommend import instances_named, losses_of, recommended

if TYPE_CHECKING:
    from planner.report.page import Section

_TOKENS_PER_PARAM = 20
_BUDGET_TEXT_TOKENS = 4096


def report(  # noqa: PLR0913 - the options of one command line
    runs: Annotated[Path | None, typer.Argument(metavar="[RUNS]", help="CSV or Parquet with params, tokens, loss")] = (
        None
    ),
    *,
    arch: Annotated[list[str] | None, typer.Option(help="a model, or recipe=... with overrides (repeatable)")] = None,
    hw: Annotated[str, typer.Option(help="instance or accelerator of the model's run")] = "p5",
    gpus: Annotated[int, typer.Option(min=1, help="its accelerators, and the most that a budget may use")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="its samples of a step")] = 512,
    tokens: Annotated[str | None, typer.Option(help="its tokens; left out: 20 per parameter")] = None,
    seq: Annotated[int | None, typer.Option(min=1, help="tokens of a text; left out: the model's own")] = None,
    usd: Annotated[str | None, typer.Option(help="a budget, for a recommendation: 1e6")] = None,
    deadline: Annotated[str | None, typer.Option(help="its deadline: 30d")] = None,
    ledger: Annotated[Path | None, typer.Option(help="ledger of forecasts of a study")] = None,
    outliers: Annotated[str, typer.Option(help="none, or top:K: fits without the K highest losses")] = "none",
    column: ColumnOption = None,
    machines: Annotated[Path | None, typer.Option(help="your own machines and prices: YAML or CSV")] = None,
    force: Annotated[bool, typer.Option("--force", help="recommend although the evidence does not carry it")] = False,
    out: Annotated[Path, typer.Option(help="the page")] = Path("report.html"),
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Write one HTML page that holds its pictures: fits, forecasts and backtests of runs; memory, time and cost."""
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="ostinato-report-") as name:
        folder = Path(name)
        try:
            if usd is not None or deadline is not None:
                lengths = (usd, deadline, gpus, seq or _BUDGET_TEXT_TOKENS)
                sections += _of_budget(lengths, (runs, columns_of(column)), machines, folder, force=force)
            if runs is not None:
                sections += _of_runs(runs, columns_of(column), outliers, folder)
            if ledger is not None:
                sections += _of_ledger(ledger)
            if arch:
                sections += _of_model(arch, (hw, gpus, batch), (tokens, seq), machines, folder)
        except ImportError as error:
            raise CommandError(f"the page needs matplotlib: pip install 'ostinato[plot]' ({error})") from error
    if not sections:
        raise CommandError("nothing to report on: give RUNS, --arch, --ledger, or a budget (--usd, --deadline)")
    size = _write(out, " and ".join([*([] if runs is None else [_study(runs)]), *(arch or [])]), sections)
    titles = [section.title for section in sections]
    if as_json or output is OutputFormat.JSON:
        print_json({"page": str(out), "bytes": size, "sections": titles})
    else:
        say(f"{out}: {format_bytes(size)}: {', '.join(titles)}")
    return ExitCode.OK


def _of_runs(path: Path, columns: dict[str, str], outliers: str, folder: Path) -> "list[Section]":
    from planner.laws import read_runs
    from planner.report.evidence import evidence_sections

    return evidence_sections(read_runs(path, columns), _study(path), folder, outliers=outliers)


def _study(path: Path) -> str:
    """Return what a table of runs is called: the tables of all studies are called runs, in a folder of their own."""
    return path.resolve().parent.name if path.stem == "runs" else path.stem


def _of_ledger(path: Path) -> "list[Section]":
    from planner.forecasts import Ledger
    from planner.report.evidence import ledger_section

    if not path.exists():
        raise CommandError(f"--ledger {path}: there is no such file")
    return [ledger_section(Ledger(path).entries(), path.name)]


def _of_model(
    words: list[str],
    where: tuple[str, int, int],
    length: tuple[str | None, int | None],
    machines: Path | None,
    folder: Path,
) -> "list[Section]":
    from planner.architectures import BatchShape
    from planner.hardware import load_catalogue
    from planner.layout_search import Workload
    from planner.quantities import read_count
    from planner.report.system import Planned, system_sections

    (hw, devices, samples), (tokens, seq) = where, length
    catalogue, model = load_catalogue(machines), read_model(words)
    params = float(model.parameters())
    planned = Planned(
        name=model.name,
        workload=Workload.of(model, BatchShape(1, seq)),
        params=params,
        instance=catalogue.instance(hw),
        devices=devices,
        samples=samples,
        tokens=_TOKENS_PER_PARAM * params if tokens is None else float(read_count(tokens, "--tokens")),
        catalogue=catalogue,
        today=today(),
    )
    return system_sections(planned, folder)


def _of_budget(
    lengths: tuple[str | None, str | None, int, int],
    evidence: tuple[Path | None, dict[str, str]],
    machines: Path | None,
    folder: Path,
    *,
    force: bool,
) -> "list[Section]":
    from planner.hardware import load_catalogue
    from planner.quantities import read_duration_s, read_usd
    from planner.recommendation.conditions import Conditions, Limits
    from planner.report.advice import advice_section

    usd, deadline, devices, seq = lengths
    limits = Limits(
        usd=None if usd is None else read_usd(usd, "--usd"),
        deadline_s=None if deadline is None else read_duration_s(deadline, "--deadline"),
        devices=devices,
    )
    catalogue = load_catalogue(machines)
    losses = losses_of(evidence[0], "chinchilla", evidence[1])
    asked = (limits, Conditions(text_tokens=seq))
    found = recommended(catalogue, instances_named(catalogue, "any"), "llama", asked, losses, force=force)
    return [advice_section(found, folder)]


def _write(out: Path, about: str, sections: "list[Section]") -> int:
    from planner.report.page import page

    title = f"Plan of {about}" if about else "Plan"
    lead = "What it costs and how good it gets: every figure with its source, date and interval."
    foot = f"Written by ostinato plan report on {today()}. The page holds everything it shows."
    content = page(title, lead, sections, foot).encode()
    try:
        out.write_bytes(content)
    except OSError as error:
        raise CommandError(f"--out {out}: cannot be written: {error.strerror}") from error
    return len(content)
