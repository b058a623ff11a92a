"""`logs` of a job of the queue: what its processes print, live from the agent."""

import json
import sys
import time
from typing import Any

from batch.client import Client
from batch.errors import ControllerError, NotFoundError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat
from scripts.cli.queue_connection import connect

_POLL_S = 0.3
_LINE_BYTES = 200
"""What a line is taken to have when the last lines are asked for."""


def print_job_logs(name: str, *, follow: bool, rank: int | None, tail: int | None, output: OutputFormat) -> int:
    """Print the log of one rank, the first if none is named. Ctrl-C while following leaves the job alone."""
    with connect() as client:
        job = client.job(name)
        try:
            has_log = _print(client, job["id"], rank or 0, follow=follow, tail=tail, output=output)
            if rank is not None and not has_log:
                raise NotFoundError(f"job {job['id']} has no log of rank {rank}")
        except KeyboardInterrupt:
            sys.stderr.write(f"\nno longer following; {job['id']} goes on. `ostinato cancel {job['id']}` ends it\n")
    return ExitCode.OK


def _print(client: Client, job: str, rank: int, *, follow: bool, tail: int | None, output: OutputFormat) -> bool:
    """Return whether there is such a log, or may be one yet."""
    offset, unfinished = 0, ""
    if tail is not None:
        offset = -max(1, tail) * _LINE_BYTES
    while True:
        found = _piece(client, job, rank, offset, follow=follow)
        text = unfinished + found["text"]
        lines = text.split("\n")
        unfinished = lines.pop()
        if tail is not None and offset < 0:
            lines = lines[len(lines) - min(tail, len(lines)) :]
        _write(lines, rank, output)
        at_end = found["size_bytes"] is None or found["next_offset"] >= found["size_bytes"]
        offset = found["next_offset"]
        if at_end and (found["is_over"] or not follow):
            break
        if at_end:
            time.sleep(_POLL_S)
    if unfinished:
        _write([unfinished], rank, output)
    return found["size_bytes"] is not None or not found["is_over"]


def _piece(client: Client, job: str, rank: int, offset: int, *, follow: bool) -> dict[str, Any]:
    """While following, an agent that is silent for a while is waited for."""
    while True:
        try:
            return client.log(job, rank=rank, offset=offset)
        except ControllerError:
            if not follow:
                raise
            time.sleep(_POLL_S)


def _write(lines: list[str], rank: int, output: OutputFormat) -> None:
    for line in lines:
        if output is OutputFormat.JSON:
            sys.stdout.write(json.dumps({"log": f"rank-{rank}", "text": line}, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()
