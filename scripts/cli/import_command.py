"""`import`: a batch script that was written for Slurm, into the queue."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.durations import parse_moment
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, plural, print_json, say
from scripts.cli.queue_connection import connect, connect_or_start, user_name
from scripts.cli.submit_command import Texts, send_code


def import_(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="with #SBATCH lines, in the working folder")],
    *,
    team: Annotated[str | None, typer.Option(help="in place of the script's --account")] = None,
    after: Annotated[Texts, typer.Option(metavar="JOB", help="once this has succeeded; may be repeated")] = None,
    not_before: Annotated[str | None, typer.Option(help="2026-12-01T08:00, or 12h from now")] = None,
    no_code: Annotated[bool, typer.Option("--no-code", help="the working folder does not travel")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be submitted")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Submit a script for Slurm. What has no meaning here is told on stderr; what would start too early is refused."""
    from batch.json_values import to_json
    from batch.model import SweepSpec
    from batch.slurm_script import import_script

    imported = import_script(_text(script), path=_relative(script))
    for option in imported.ignored:
        sys.stderr.write(f"warning: {script}, {option} has no meaning here and is left out\n")
    spec: dict[str, Any] = to_json(imported.spec)
    job = spec["template"] if isinstance(imported.spec, SweepSpec) else spec
    job |= {"user": user_name(), "not_before_s": parse_moment(not_before, "--not-before")}
    job["after"] = [{"job": one} for one in after or []]
    if team is not None:
        job["team"] = team
    if dry_run:
        _check_pool(job.get("pool"))
        print_json(spec)
        return ExitCode.OK
    with connect_or_start() as client:
        if not no_code:
            job["code"] = send_code(client, Path())
        made = client.submit_sweep(spec) if isinstance(imported.spec, SweepSpec) else client.submit([spec])[0]
    if output is OutputFormat.JSON:
        print_json(made)
    else:
        of = f" of {plural(made['members'], 'member')}" if "members" in made else ""
        say(f"submitted {made['id']}{of}; `ostinato why {made['id']}` says when it starts")
    return ExitCode.OK


def _check_pool(pool: str | None) -> None:
    """Raise NotFoundError for a pool that the import would be refused for; says so when nobody is there to ask."""
    from batch.errors import ControllerUnreachable, NotFoundError

    if pool is None:
        return
    try:
        with connect() as client:
            known = sorted(found["name"] for found in client.pools())
    except ControllerUnreachable:
        sys.stderr.write(f"warning: no controller answers, so it is not known whether there is a pool {pool}\n")
        return
    if known and pool not in known:
        raise NotFoundError(f"there is no pool {pool!r} (the script's --partition); there are: {', '.join(known)}")


def _text(script: Path) -> str:
    try:
        return script.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{script}: cannot be read: {error}") from error


def _relative(script: Path) -> str:
    """Return where the script lies in the working folder, which travels with the job."""
    try:
        return str(script.resolve().relative_to(Path.cwd()))
    except ValueError:
        where = f"{Path.cwd()}, the working folder that travels with the job"
        raise CommandError(f"{script}: must lie in {where}") from None
