"""`wait`: until jobs are over."""

import sys
import time
from typing import Annotated, Any

import typer

from batch.client import Client, is_over
from scripts.cli.durations import parse_duration
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, say
from scripts.cli.queue_connection import JobsArgument, connect


def wait(
    jobs: JobsArgument,
    *,
    timeout: Annotated[str | None, typer.Option(help="give up after this long, such as 2h; exit code 75")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Wait until jobs or sweeps are over. Exit code 0: all have succeeded, 1: not. Ctrl-C leaves the jobs alone."""
    limit_s = parse_duration(timeout, "--timeout")
    deadline_s = None if limit_s is None else time.monotonic() + limit_s
    found = []
    try:
        with connect() as client:
            for job in jobs:
                found.append(_wait(client, job, deadline_s))
                if output is OutputFormat.TEXT:
                    say(_words(found[-1]))
    except KeyboardInterrupt:
        sys.stderr.write("\nno longer waiting; the jobs go on. `ostinato cancel JOB` ends one\n")
        return ExitCode.ABORTED  # whatever is to follow on success must not
    if output is OutputFormat.JSON:
        print_json(found)
    if not all(is_over(one) for one in found):
        return ExitCode.INTERRUPTED
    return ExitCode.OK if all(_has_succeeded(one) for one in found) else ExitCode.FAILED


def _wait(client: Client, job: str, deadline_s: float | None) -> dict[str, Any]:
    left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    return client.wait(job, timeout_s=left_s)


def _has_succeeded(found: dict[str, Any]) -> bool:
    return set(found.get("counts") or [found.get("state")]) == {"succeeded"}


def _words(job: dict[str, Any]) -> str:
    if "counts" in job:
        counts = ", ".join(f"{count} {state}" for state, count in job["counts"].items())
        return f"{job['id']} {job['name']}: {counts}".replace(" :", ":")
    reason = ": ".join(text for text in (job["cause"], job["message"]) if text)
    failure = f" ({reason})" if job["state"] == "failed" and reason else ""
    return " ".join(text for text in (job["id"], job["name"], job["state"]) if text) + failure
