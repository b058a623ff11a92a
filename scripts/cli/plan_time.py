"""`plan time`: how long a step and a run take, and when a run that goes on will end."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import (
    JsonOption,
    OutputFormat,
    OutputOption,
    format_duration,
    print_facts,
    print_json,
    print_table,
)
from scripts.cli.plan_options import System, SystemOptions, picture_in, show_pictures, with_system_options

if TYPE_CHECKING:
    from planner.time_run import RunTime
    from planner.time_step import StepTime


@with_system_options
def time(
    options: SystemOptions,
    *,
    tokens: Annotated[str | None, typer.Option(help="tokens (or samples) of the run: 1T")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="steps of the run")] = None,
    log: Annotated[Path | None, typer.Option(help="steps made so far: CSV or JSON lines with step_s")] = None,
    plot: Annotated[Path | None, typer.Option(help="folder for a picture of the parts")] = None,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Estimate the time of a step and of a run; with --log, the end of a run from the steps that it has made."""
    from planner.time_run import live_run_time, run_time

    system = System(options)
    step, count = system.step(), system.steps(tokens, steps)
    if log is not None and count is None:
        raise CommandError("--log needs --steps or --tokens: of how many the logged steps are a part")
    run = None if count is None else run_time(step, count)
    live = None if log is None or count is None else live_run_time(_logged(log), count)
    fits = system.verdict().fits
    pictures: list[Path] = []
    if plot is not None:
        from planner.system_plots import time_breakdown

        title = f"{system.model.name}: {system.layout.described()}"
        pictures.append(time_breakdown(step, picture_in(plot, "time"), title=title))
    if as_json or output is OutputFormat.JSON:
        print_json({**_to_json(system, step, run, live, fits=fits), "pictures": [str(path) for path in pictures]})
    else:
        _print(system, step, run, live, fits=fits)
    show_pictures(pictures, as_json=as_json or output is OutputFormat.JSON)
    return ExitCode.OK


def _logged(path: Path) -> Any:
    import numpy as np

    try:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        rows = [json.loads(line) for line in lines] if text.startswith("{") else list(csv.DictReader(lines))
        found = [float(row["step_s"]) for row in rows if row.get("step_s") is not None]
    except (OSError, ValueError, AttributeError, csv.Error, RecursionError) as error:
        raise CommandError(f"--log {path}: must be CSV or JSON lines with step_s ({error})") from error
    if not found:
        raise CommandError(f"--log {path}: there is no step_s in it")
    return np.array(found)


def _to_json(
    system: System, step: "StepTime", run: "RunTime | None", live: "RunTime | None", *, fits: bool
) -> dict[str, Any]:
    def shown(found: "RunTime | None") -> dict[str, Any] | None:
        if found is None:
            return None
        return {"steps": found.steps, "seconds": found.seconds, "interval_s": [found.low_s, found.high_s]}

    return {
        "model": system.model.name,
        "hardware": system.instance.name,
        "layout": system.layout.described(),
        "fits": fits,
        "step_s": step.total_s,
        "step_interval_s": list(step.interval_s()),
        "parts_s": dict(step.parts),
        "samples_per_s": step.samples_per_s,
        "positions_per_s_per_device": step.positions_per_s_per_device,
        "mfu": step.mfu,
        "provenance": step.provenance,
        "run": shown(run),
        "live": shown(live),
    }


def _print(
    system: System, step: "StepTime", run: "RunTime | None", live: "RunTime | None", *, fits: bool
) -> None:
    low, high = step.interval_s()
    facts = {
        **system.facts(),
        "time of a step": f"{step.total_s:.4g} s ({low:.4g} to {high:.4g})",
        "speed": f"{step.samples_per_s:.4g} samples/s, {step.positions_per_s_per_device:.4g} positions/s on each",
        "MFU": f"{step.mfu:.1%}, attention in full",
        "from": step.provenance,
    }
    for name, found in (("run", run), ("run, from its log", live)):
        if found is not None:
            span = f"{format_duration(found.low_s)} to {format_duration(found.high_s)}"
            facts[name] = f"{found.steps} steps, {format_duration(found.seconds)} ({span})"
    if not fits:
        facts["memory"] = "does not fit: see plan memory"
    print_facts(facts)
    rows = [(name, value, f"{100 * value / step.total_s:.1f}") for name, value in step.parts]
    print_table(("part", "s", "%"), rows)
