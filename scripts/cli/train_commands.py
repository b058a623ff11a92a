"""`train` and `resume`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.completion import complete_overrides
from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, RunArgument, find_run
from scripts.cli.output import OutputFormat, OutputOption, console, print_json

if TYPE_CHECKING:
    from scripts.starting import Start

OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OVERRIDES]...",
        help="group=option, or section.key=value; `ostinato config show` lists all keys",
        autocompletion=complete_overrides,
    ),
]
ConfigDirOption = Annotated[
    list[Path] | None,
    typer.Option("--config-dir", help="folder with YAML groups of your own, searched first; may be repeated"),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="show configuration, batch arithmetic, memory and checkpoints; train nothing")
]


def train(
    overrides: OverridesArgument = None,
    *,
    config_dir: ConfigDirOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Train a run, or continue it when it exists: where it got to is found in its checkpoints.

    The first Ctrl-C finishes the step, saves, and leaves with exit code 75 and the command that resumes; the second
    leaves at once.
    """
    from configs.compose import compose
    from scripts.starting import prepare

    start = prepare(compose(overrides or [], config_dirs=config_dir or []))
    return _go(start, ["train", *(overrides or [])], dry_run=dry_run, output=output)


def resume(
    run: RunArgument,
    overrides: OverridesArgument = None,
    *,
    folder: FolderOption = Path("runs"),
    config_dir: ConfigDirOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Continue a run with the configuration that it keeps, under elastic overrides such as cluster.workers=4."""
    from configs.compose import compose_document
    from configs.sources import show_path
    from scripts.starting import prepare

    found = find_run(run, folder)
    origin = show_path(found.path / "config.yaml")
    composed = compose_document(found.document(), overrides or [], origin=origin, config_dirs=config_dir or [])
    start = prepare(composed, found.path)
    return _go(start, ["resume", run, *(overrides or [])], dry_run=dry_run, output=output)


def _go(start: "Start", command: Sequence[str], *, dry_run: bool, output: OutputFormat) -> int:
    for warning in start.composed.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    start.check_data()
    if dry_run:
        from scripts.cli.dry_run import show_dry_run

        show_dry_run(start, output)
        return ExitCode.OK
    if start.is_finished():
        return _already_finished(start, output)
    return _launch(start, ["ostinato", *command], output)


def _launch(start: "Start", command: Sequence[str], output: OutputFormat) -> int:
    from scripts.cli.progress import progress
    from trainer.launcher import launch

    as_json = output is OutputFormat.JSON
    out = console(stderr=as_json)
    verb = "continuing" if start.exists else "training"
    out.print(f"{verb} {start.plan.name} in {start.plan.folder}", soft_wrap=True)
    with progress(start.plan.name, start.plan.run.steps, to_stderr=as_json) as observe:
        outcome = launch(start.plan, observe, begin=lambda: start.create(command))
    resumable = outcome.exit_code == ExitCode.INTERRUPTED
    if as_json:
        print_json(
            {
                "run": start.plan.name,
                "folder": str(start.plan.folder),
                "checkpoint_url": start.plan.checkpoint_url,
                "state": outcome.state,
                "exit_code": outcome.exit_code,
                "step": outcome.step,
                "reason": outcome.reason,
                "metrics": dict(outcome.metrics),
                "resume_command": start.plan.resume_command if outcome.exit_code else None,
            }
        )
    elif resumable:
        out.print(f"resume with: {start.plan.resume_command}", soft_wrap=True)
    elif outcome.exit_code:
        sys.stderr.write(f"ostinato: the run failed: {outcome.reason}\n")
        sys.stderr.write(f"          logs: {start.plan.folder}/logs; after a correction: {start.plan.resume_command}\n")
    return outcome.exit_code


def _already_finished(start: "Start", output: OutputFormat) -> int:
    from dataclasses import asdict

    from scripts.cli.run_summary import summarize

    summary = summarize(start.folder)
    if output is OutputFormat.JSON:
        print_json(asdict(summary))
    else:
        console().print(
            f"{summary.run} is finished at step {summary.step}; run.steps=N trains it further, "
            "another run.name starts anew",
            soft_wrap=True,
        )
    return ExitCode.OK
