"""`ls`: what is in the queue."""

import time
from typing import Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import ListFormat, ListOption, format_duration, print_json, print_table, say
from scripts.cli.queue_connection import connect, user_name

_COLUMNS = ("job", "name", "state", "team", "tier", "chips", "for", "place")
_WIDE = ("user", "kind", "recipe", "attempt", "step", "submitted", "exit", "message")


def ls(  # noqa: PLR0913 - the options of one command line
    *,
    mine: Annotated[bool, typer.Option("--mine", help="only your own")] = False,
    team: Annotated[str | None, typer.Option(help="only this team's")] = None,
    user: Annotated[str | None, typer.Option(help="only this user's")] = None,
    state: Annotated[list[str] | None, typer.Option(help="only in this state; may be repeated")] = None,
    tier: Annotated[str | None, typer.Option(help="interactive, standard or flex")] = None,
    name: Annotated[str | None, typer.Option(help="only of this name")] = None,
    sweep: Annotated[str | None, typer.Option(help="the members of this sweep")] = None,
    limit: Annotated[int, typer.Option(help="how many, the newest first")] = 100,
    output: ListOption = ListFormat.TEXT,
) -> int:
    """List jobs and sweeps, the newest first."""
    with connect() as client:
        found = client.find(
            team=team, user=user_name() if mine else user, state=state, tier=tier, name=name, sweep=sweep, limit=limit
        )
    if output is ListFormat.JSON:
        print_json(found)
    elif not found["jobs"] and not found["sweeps"]:
        say("nothing in the queue fits")
    else:
        wide = output is ListFormat.WIDE
        now_s = time.time()
        if found["sweeps"]:
            rows = [_sweep_row(sweep, now_s) for sweep in found["sweeps"]]
            print_table(("sweep", "name", "members", "team", "tier", "submitted"), rows)
        if found["jobs"]:
            columns = (*_COLUMNS, *_WIDE) if wide else _COLUMNS
            print_table(columns, [_row(job, now_s, wide=wide) for job in found["jobs"]])
    return ExitCode.OK


def _row(job: dict[str, Any], now_s: float, *, wide: bool) -> list[object]:
    since_s = job["started_s"] if job["state"] == "running" and job["started_s"] else job["changed_s"]
    place = f"{job['pool']}: {', '.join(job['nodes'])}" if job["nodes"] and not job["ended_s"] else ""
    row: list[object] = [
        job["id"], job["name"], job["state"], job["team"], job["tier"], job["chips"],
        format_duration(max(0.0, now_s - since_s)), place,
    ]  # fmt: skip
    if wide:
        submitted = format_duration(max(0.0, now_s - job["submitted_s"]))
        row += [job["user"], job["kind"], job["recipe"], job["attempt"], job["step"], submitted, job["exit_code"]]
        row.append(job["message"].replace("\n", " ")[:80])
    return row


def _sweep_row(sweep: dict[str, Any], now_s: float) -> list[object]:
    counts = ", ".join(f"{count} {state}" for state, count in sweep["counts"].items())
    submitted = format_duration(max(0.0, now_s - sweep["submitted_s"]))
    return [sweep["id"], sweep["name"], counts, sweep["team"], sweep["tier"], f"{submitted} ago"]
