"""`logs`: what the processes of a run, or of a job of the queue, have printed."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.cli_errors import NotFoundError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, find_run
from scripts.cli.log_lines import LogLine, LogReader
from scripts.cli.output import OutputFormat, OutputOption
from scripts.cli.show_command import RunOrJob
from trainer.run_folder import RunFolder
from trainer.states import RunState

_POLL_S = 0.2


def logs(
    run: RunOrJob,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until it has ended")] = False,
    rank: Annotated[int | None, typer.Option(min=0, help="only this rank")] = None,
    tail: Annotated[int | None, typer.Option(min=0, help="only the last lines of each log")] = None,
    folder: FolderOption = Path("runs"),
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Print the logs of a run's or a job's processes. Ctrl-C while following leaves them alone."""
    from scripts.cli.run_or_job import is_job

    if is_job(run, folder):
        from scripts.cli.job_logs import print_job_logs

        return print_job_logs(run, follow=follow, rank=rank, tail=tail, output=output)
    found = find_run(run, folder)
    if rank is not None and not follow and not _paths(found, rank):
        raise NotFoundError(f"run {found.name!r} has no log of rank {rank}; it has {_names(found)}")
    reader = LogReader()
    ended = not follow or _has_ended(found)
    for line in _last(reader.read(_paths(found, rank), whole=ended), tail):
        _write(line, output)
    try:
        while not ended:
            time.sleep(_POLL_S)
            ended = _has_ended(found)  # before reading: what is written before the end is read after it
            for line in reader.read(_paths(found, rank), whole=ended):
                _write(line, output)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nno longer following; {found.name} goes on. `ostinato stop {found.name}` stops it\n")
    return ExitCode.OK


def _paths(folder: RunFolder, rank: int | None) -> list[Path]:
    return [path for path in folder.log_paths() if rank is None or path.stem == f"rank-{rank}"]


def _names(folder: RunFolder) -> str:
    return ", ".join(path.stem for path in folder.log_paths()) or "none yet"


def _has_ended(folder: RunFolder) -> bool:
    record = folder.record()
    return record is not None and RunState.of(record.state).is_terminal


def _last(lines: list[LogLine], tail: int | None) -> list[LogLine]:
    if tail is None:
        return lines
    by_log: dict[str, list[LogLine]] = {}
    for line in lines:
        by_log.setdefault(line.log, []).append(line)
    return [line for of_one in by_log.values() for line in of_one[max(0, len(of_one) - tail) :]]


def _write(line: LogLine, output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        text = json.dumps({"log": line.log, "text": line.text}, ensure_ascii=False)
    else:
        text = f"{line.log} | {line.text}"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
