"""`stop`: asks a run to end."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, RunArgument, find_run
from scripts.cli.output import OutputFormat, OutputOption, console, print_json
from scripts.cli.run_summary import RunSummary, summarize
from trainer.run_folder import RunFolder
from trainer.states import RunState

_POLL_S = 0.2


def stop(
    run: RunArgument,
    *,
    now: Annotated[bool, typer.Option("--now", help="at once, without finishing the step and saving")] = False,
    wait_s: Annotated[float, typer.Option("--wait", min=0.0, help="seconds to wait for the end")] = 60.0,
    folder: FolderOption = Path("runs"),
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Stop a run: it finishes its step, saves and ends, wherever it runs. It can be resumed."""
    found = find_run(run, folder)
    summary = summarize(found)
    if _is_going_on(summary):
        found.request_stop(now=now)
        summary = _wait(found, wait_s)
    if output is OutputFormat.JSON:
        print_json(asdict(summary))
    else:
        console().print(_words(summary), soft_wrap=True)
    return ExitCode.ENVIRONMENT if _is_going_on(summary) else ExitCode.OK


def _is_going_on(summary: RunSummary) -> bool:
    return summary.attempt > 0 and not RunState.of(summary.state).is_terminal


def _wait(folder: RunFolder, wait_s: float) -> RunSummary:
    deadline_s = time.monotonic() + wait_s
    summary = summarize(folder)
    while _is_going_on(summary) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        summary = summarize(folder)
    return summary


def _words(summary: RunSummary) -> str:
    if not _is_going_on(summary):
        go_on = f"; go on with: {summary.resume_command}" if summary.resume_command else ""
        return f"{summary.run} is {summary.state} at step {summary.step}{go_on}"
    if summary.process is None:
        return (
            f"{summary.run} was asked to stop and has not answered: no process on this machine trains it. It runs "
            "elsewhere and will see the request, or it was killed and there is nothing to stop"
        )
    return f"{summary.run} was asked to stop and has not ended yet; `ostinato logs -f {summary.run}` shows what it does"
