"""`doctor`: is everything here that training needs, and if not, what to do."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption
from scripts.cli.output import OutputFormat, OutputOption, console, print_json
from scripts.cli.storage_options import StorageOptions, parse_options

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    *,
    url: Annotated[str | None, typer.Option(help="also check that checkpoints can be written there")] = None,
    storage_option: StorageOptions = None,
    folder: FolderOption = Path("runs"),
    arena_folder: Annotated[Path, typer.Option(help="folder in memory for snapshots")] = Path("/dev/shm"),
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Check Python, packages, Ray, compiler, accelerators, shared memory, disk, leftovers and, with --url, the store.

    Exit code 4 when there is a problem; warnings alone are no problem.
    """
    from scripts.cli import doctor_checks as checks

    def results() -> "Iterator[checks.Check]":
        yield checks.check_python()
        yield checks.check_our_packages()
        yield checks.check_packages(checks.required_packages(), checks.tried_versions(), checks.installed_versions())
        yield checks.check_ray(os.environ.get("RAY_ADDRESS"))
        yield checks.check_compiler()
        yield checks.check_accelerators()
        yield checks.check_shared_memory(arena_folder)
        yield checks.check_disk(folder)
        yield checks.check_leftovers(arena_folder)
        if url is not None:
            yield checks.check_store(url, parse_options(storage_option))

    found = []
    out = console()
    for check in results():
        found.append(check)
        if output is OutputFormat.TEXT:
            out.print(f"{check.status:<8}", style=_STYLES[check.status], end="")
            out.print(f"{check.name}: {check.found}", soft_wrap=True)
            if check.advice is not None:
                out.print(f"{'':8}-> {check.advice}", soft_wrap=True)
    if output is OutputFormat.JSON:
        print_json([asdict(check) for check in found])
    has_problem = any(check.status is checks.Status.PROBLEM for check in found)
    return ExitCode.ENVIRONMENT if has_problem else ExitCode.OK
