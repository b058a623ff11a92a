"""`runs`, and `show` of a run."""

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, find_run
from scripts.cli.output import (
    OutputFormat,
    OutputOption,
    console,
    format_age,
    print_facts,
    print_json,
    print_table,
)
from scripts.cli.run_summary import RunSummary, summarize
from trainer.errors import RunFolderError
from trainer.run_folder import RunFolder, list_runs
from trainer.states import RunState

_State = Enum("_State", {state.name: state.text for state in RunState} | {"DAMAGED": "damaged"})  # type: ignore[misc]


def runs(
    *,
    folder: FolderOption = Path("runs"),
    state: Annotated[_State | None, typer.Option(help="only runs in this state")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """List the runs, the one that changed last first."""
    rows = [row for row in map(_summary_or_damage, list_runs(folder)) if state is None or state.value == row["state"]]
    if output is OutputFormat.JSON:
        print_json(rows)
    elif not rows:
        console().print(f"no runs in {folder}", soft_wrap=True)
    else:
        print_table(("run", "state", "step", "of", "loss", "saved", "attempt", "changed"), map(_row, rows))
    return ExitCode.OK


def show_run(run: str, folder: Path, output: OutputFormat) -> int:
    """Show one run: state, step, workers, checkpoints, and how to go on."""
    found = find_run(run, folder)
    summary = summarize(found)
    if output is OutputFormat.JSON:
        print_json(_json(summary))
        return ExitCode.OK
    print_facts(_facts(summary))
    if summary.workers:
        print_table(("rank", "node", "pid"), ([w["rank"], w["node"], w["pid"]] for w in summary.workers))
    if summary.metrics:
        print_table(("metric", "value"), summary.metrics.items())
    return ExitCode.OK


def _json(summary: RunSummary) -> dict[str, Any]:
    return {**asdict(summary), "abandoned": summary.is_abandoned}


def _summary_or_damage(folder: RunFolder) -> dict[str, Any]:
    """A damaged run must not hide the others."""
    try:
        return _json(summarize(folder))
    except RunFolderError as error:
        return {"run": folder.name, "folder": str(folder.path), "state": "damaged", "reason": str(error)}


def _row(row: dict[str, Any]) -> list[object]:
    state = f"{row['state']} (abandoned)" if row.get("abandoned") else row["state"]
    figures = [row.get(key) for key in ("step", "steps", "loss", "last_checkpoint_step", "attempt")]
    return [row["run"], state, *figures, format_age(row.get("updated_s"))]


def _facts(summary: RunSummary) -> dict[str, object]:
    facts: dict[str, object] = {
        "run": summary.run,
        "folder": summary.folder,
        "state": summary.state,
        "step": f"{summary.step} of {summary.steps}",
        "loss": summary.loss,
        "attempt": f"{summary.attempt} (generation {summary.generation}, fence {summary.fence})",
        "checkpoint": f"step {_or_dash(summary.last_checkpoint_step)} in {summary.checkpoint_url or '-'}",
        "started": format_age(summary.started_s),
        "changed": format_age(summary.updated_s),
    }
    if summary.process is not None:
        facts["process"] = summary.process
    if summary.reason is not None:
        facts["reason"] = summary.reason
    if summary.is_abandoned:
        facts["note"] = "no process on this machine trains it: it runs elsewhere, or was killed"
    if summary.resume_command is not None and summary.process is None:
        facts["go on with"] = summary.resume_command
    return facts


def _or_dash(value: object) -> object:
    return "-" if value is None else value
