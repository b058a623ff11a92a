"""`show`: one run folder, or one job of the queue."""

from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli.completion import complete_runs
from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption
from scripts.cli.output import OutputFormat, OutputOption, format_age, print_facts, print_json, print_table

RunOrJob = Annotated[
    str,
    typer.Argument(
        metavar="RUN|JOB",
        help="name, beginning of a name, or path of a run folder; or a job of the queue",
        autocompletion=complete_runs,
    ),
]


def show(run: RunOrJob, *, folder: FolderOption = Path("runs"), output: OutputOption = OutputFormat.TEXT) -> int:
    """Show one run (state, step, workers, checkpoints, how to go on), or one job or sweep of the queue."""
    from scripts.cli.run_or_job import is_job

    if is_job(run, folder):
        return _show_job(run, output)
    from scripts.cli.runs_commands import show_run

    return show_run(run, folder, output)


def _show_job(name: str, output: OutputFormat) -> int:
    from batch.errors import NotFoundError
    from scripts.cli.queue_connection import connect
    from scripts.cli.sweep_show import show_sweep

    with connect() as client:
        try:
            job = client.job(name)
        except NotFoundError:
            return show_sweep(name, None, plot=None, output=output)
    if output is OutputFormat.JSON:
        print_json(job)
        return ExitCode.OK
    print_facts({name: value for name, value in _facts(job).items() if value not in {None, ""}})
    if job["attempts"]:
        columns = ("attempt", "pool", "nodes", "placed", "ended", "outcome", "exit", "cause", "message")
        print_table(columns, [_attempt(one) for one in job["attempts"]])
    if job["metrics"]:
        print_table(("metric", "value"), job["metrics"].items())
    return ExitCode.OK


def _facts(job: dict[str, Any]) -> dict[str, Any]:
    spec = job["spec"]
    command = spec["payload"].get("command") if job["kind"] == "command" else None
    limit_s = spec.get("time_limit_s")
    goal = f", then {job['then']}" if job["then"] else ""
    return {
        "job": job["id"],
        "name": job["name"],
        "state": f"{job['state']}{goal}, since {format_age(job['changed_s'])}",
        "kind": job["kind"],
        "command": " ".join(command) if command else None,
        "overrides": " ".join(job["overrides"]),
        "sweep": job["sweep"],
        "team": f"{job['team']}, user {job['user'] or '-'}, tier {job['tier']}",
        "wants": f"{job['nodes_wanted']} x ({job['gpus']} GPUs, {job['cpus']} CPUs)",
        "time limit": None if limit_s is None else f"{limit_s:g} s",
        "place": f"{', '.join(job['nodes'])} of pool {job['pool']}" if job["nodes"] else None,
        "checkpoint": None if job["saved_s"] is None else f"step {job['step']}, {format_age(job['saved_s'])}",
        "submitted": format_age(job["submitted_s"]),
        "ended": None if job["ended_s"] is None else format_age(job["ended_s"]),
        "exit code": job["exit_code"],
        "cause": job["cause"],
        "message": job["message"],
    }


def _attempt(one: dict[str, Any]) -> list[object]:
    ended = None if one["ended_s"] is None else format_age(one["ended_s"])
    return [
        one["attempt"], one["pool"], ", ".join(one["nodes"]), format_age(one["placed_s"]), ended, one["outcome"],
        one["exit_code"], one["cause"], one["message"],
    ]  # fmt: skip
