"""`cancel`, `hold`, `release`, `requeue` and `set`: what people do to jobs."""

from typing import Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.durations import parse_duration, parse_moment
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, say
from scripts.cli.queue_connection import JobArgument, JobsArgument, connect


def cancel(
    jobs: JobsArgument,
    *,
    now: Annotated[bool, typer.Option("--now", help="at once, without a save")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """End jobs or sweeps: what runs saves first; with --now it does not."""
    return _act(jobs, "cancel", output, now=now)


def hold(jobs: JobsArgument, *, output: OutputOption = OutputFormat.TEXT) -> int:
    """Keep jobs from starting; what runs saves, stops and waits."""
    return _act(jobs, "hold", output)


def release(jobs: JobsArgument, *, output: OutputOption = OutputFormat.TEXT) -> int:
    """End a hold."""
    return _act(jobs, "release", output)


def requeue(jobs: JobsArgument, *, output: OutputOption = OutputFormat.TEXT) -> int:
    """Let what is over run again, from its last checkpoint; what runs saves, stops and queues."""
    return _act(jobs, "requeue", output)


def set_(
    job: JobArgument,
    *,
    tier: Annotated[str | None, typer.Option(help="interactive, standard or flex")] = None,
    time_limit: Annotated[str | None, typer.Option("--time", help="longest an attempt may run, such as 6h")] = None,
    deadline: Annotated[str | None, typer.Option(help="when to be done: 2026-12-01T08:00, or 12h from now")] = None,
    max_running: Annotated[int | None, typer.Option(help="members of a sweep that run at once")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Change what may be changed later."""
    changes = {
        "tier": tier,
        "time_limit_s": parse_duration(time_limit, "--time"),
        "deadline_s": parse_moment(deadline, "--deadline"),
        "max_running": max_running,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise CommandError("nothing to set: give --tier, --time, --deadline or --max-running")
    return _act([job], "set", output, **given)


def _act(jobs: list[str], verb: str, output: OutputFormat, **arguments: Any) -> int:
    with connect() as client:
        found = [client.act(job, verb, **arguments) for job in jobs]
    if output is OutputFormat.JSON:
        print_json(found)
        return ExitCode.OK
    for one in found:
        say(f"{one['id']} {_standing(one)}")
    return ExitCode.OK


def _standing(found: dict[str, Any]) -> str:
    if "counts" in found:
        return "has members " + ", ".join(f"{count} {state}" for state, count in found["counts"].items())
    goal = f", then {found['then']}" if found["then"] else ""
    return f"is {found['state']}{goal}"
