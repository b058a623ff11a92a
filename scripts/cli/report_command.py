"""`report-checkpoint`: a job says that a checkpoint is durable."""

import sys
from typing import Annotated

import typer

from scripts.cli.exit_codes import ExitCode


def report_checkpoint(
    path: Annotated[str, typer.Argument(help="where the next attempt finds it: a path or URL")],
    *,
    step: Annotated[int | None, typer.Option("--step", help="the step it was made after")] = None,
) -> int:
    """Tell the queue, from within a job, that a checkpoint is complete and durable.

    A preemption then costs only what was done since, and the next attempt finds PATH in OSTINATO_RESUME_FROM.
    """
    from batch.agent.reporting import report_checkpoint as report

    if not report(path, step=step):
        sys.stderr.write("ostinato: not in a job (OSTINATO_CHECKPOINT_FILE is not set): nothing to tell\n")
    return ExitCode.OK
