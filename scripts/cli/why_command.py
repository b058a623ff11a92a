"""`why`: why a job waits, and until when."""

from typing import Any

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_age, print_json, say
from scripts.cli.queue_connection import JobArgument, connect


def why(job: JobArgument, *, output: OutputOption = OutputFormat.TEXT) -> int:
    """Say why a job waits: what it needs and what there is, its place, its expected start, and what would start now."""
    with connect() as client:
        found = client.why(job)
    if output is OutputFormat.JSON:
        print_json(found)
    elif "why" in found:
        for line in waiting_lines(found):
            say(line)
    else:
        say(standing_line(found["job"]))
    return ExitCode.OK


def standing_line(job: dict[str, Any]) -> str:
    """Return one sentence about a job that does not wait."""
    if job["ended_s"] is not None and job["state"] in {"succeeded", "failed", "cancelled"}:
        reason = f": {job['message']}" if job["message"] else ""
        return f"{job['id']} does not wait: it {_ENDS[job['state']]} {format_age(job['ended_s'])}{reason}"
    where = f"on {', '.join(job['nodes'])} of pool {job['pool']}"
    return f"{job['id']} does not wait: it is {job['state']} {where}, since {format_age(job['changed_s'])}"


_ENDS = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}
