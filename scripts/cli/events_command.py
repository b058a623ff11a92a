"""`events`: what has happened, and what happens."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, say
from scripts.cli.queue_connection import connect

_SHOWN_FIELDS = ("pool", "nodes", "attempt", "state", "then", "cause", "reason", "step", "exit_code", "message")


def events(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="only of this job")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until Ctrl-C")] = False,
    after: Annotated[int | None, typer.Option(help="only events after this sequence number")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Print the journal, oldest first; with -f what comes, from now on."""
    with connect() as client:
        uid = None if job is None else client.job(job)["uid"]
        try:
            if job is not None and not follow:
                found: Iterable[dict[str, Any]] = client.job_events(job)
            elif follow:
                found = client.follow_events(after=after)
            else:
                found = client.events(after=after or 0)
            for event in found:
                if uid is None or event.get("uid") == uid:
                    say(json.dumps(event) if output is OutputFormat.JSON else _words(event))
                    sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stderr.write("\nno longer following; the queue goes on\n")
    return ExitCode.OK


def _words(event: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time_s"]))
    facts = " ".join(f"{name}={_text(event[name])}" for name in _SHOWN_FIELDS if event.get(name))
    about = event.get("id") or event.get("team", event.get("pool", {})).get("name", "")
    return f"{event['seq']:>8} {moment} {event['event']:<16} {about:<8} {facts}".rstrip()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
