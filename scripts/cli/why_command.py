"""`why`: why a job waits, and until when."""

import time
from collections.abc import Iterator
from typing import Any

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_age, format_duration, print_json, say
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


def waiting_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `why` says to people."""
    why = found["why"]
    reason = why["reason"]
    figures = [f"needs {reason['need']:g}" if reason["need"] is not None else ""]
    figures.append(f"there are {reason['have']:g}" if reason["have"] is not None else "")
    said = ", ".join(figure for figure in figures if figure)
    yield f"{found['id']} waits: {reason['text']}" + (f" ({said} {reason['unit']})" if said else "")
    if why["place"]:
        ahead = f"; before it: {', '.join(why['ahead'])}" if why["ahead"] else ""
        yield f"  place: {why['place']} of {why['waiting']}, {why['team_place']} in team {why['team']}{ahead}"
        yield f"  team {why['team']} uses {why['used_chips']:g} chips and is entitled to {why['entitled_chips']:g}"
    if why["start_p50_s"] is not None:
        reserved = " (room is kept for it)" if why["reservation"] else ""
        median, late = _moment(why["start_p50_s"]), _moment(why["start_p90_s"])
        yield f"  expected start: {median} as likely as not, {late} in 9 of 10 cases{reserved}"
    for other in why["instead"]:
        yield f"  would start now: {other['text']}"


def _moment(epoch_s: float) -> str:
    left_s = epoch_s - time.time()
    if left_s < 1.0:
        return "now"
    return f"in {format_duration(left_s)} ({time.strftime('%a %H:%M', time.localtime(epoch_s))})"


_ENDS = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}
