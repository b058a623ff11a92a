"""`checkpoints ls|show|verify|export`."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import NotFoundError
from scripts.cli.completion import complete_runs
from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, find_run
from scripts.cli.output import (
    OutputFormat,
    OutputOption,
    console,
    format_age,
    format_bytes,
    plural,
    print_facts,
    print_json,
    print_table,
)
from scripts.cli.storage_options import StorageOptions, parse_options

if TYPE_CHECKING:
    from checkpoint.commits import CommitInfo
    from checkpoint.store import Store
    from checkpoint.verify import VerifyReport

app = typer.Typer(help="Look at, verify and export checkpoints.", no_args_is_help=True)

_Where = Annotated[
    str,
    typer.Argument(
        metavar="RUN|URL",
        help="a run, or the folder or URL that holds its checkpoints",
        autocompletion=complete_runs,
    ),
]
_Step = Annotated[int | None, typer.Option(min=0, help="the checkpoint of this step; left out: the newest whole one")]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where checkpoints lie, and the configuration of their run if a run was named."""

    store: "Store"
    document: dict[str, Any] | None


@app.command("ls")
def list_(
    where: _Where,
    *,
    folder: FolderOption = Path("runs"),
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """List the checkpoints, newest first."""
    from checkpoint.commits import list_commits, usable_commits

    store = _open(where, folder, storage_option).store
    usable = {info.key for info in usable_commits(store)}
    commits = list_commits(store)
    if output is OutputFormat.JSON:
        print_json([{**asdict(info), "damaged": info.key not in usable} for info in commits])
    elif not commits:
        console().print(f"no checkpoints in {store.url}", soft_wrap=True)
    else:
        rows = ([i.step, format_age(i.created_s), "" if i.key in usable else "damaged", i.key] for i in commits)
        print_table(("step", "saved", "", "commit"), rows)
    return ExitCode.OK


@app.command()
def show(
    where: _Where,
    *,
    step: _Step = None,
    folder: FolderOption = Path("runs"),
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Show one checkpoint: who saved it, how large it is, what is in it."""
    from checkpoint.commits import load_commit
    from checkpoint.read_plan import index_tensors

    store = _open(where, folder, storage_option).store
    view = load_commit(store, _choose(store, step))
    tensors = index_tensors(view.manifests).values()
    facts: dict[str, Any] = {
        "url": store.url,
        "step": view.step,
        "saved_s": view.commit.time_s,
        "world_size": view.commit.world_size,
        "fence": view.commit.fence,
        "size_bytes": view.size_bytes,
        "objects": len(view.objects()),
        "earlier_steps_referred_to": list(view.commit.parents),
    }
    rows = [(t.name, t.kind, t.dtype, list(t.shape), t.size_bytes) for t in tensors]
    if output is OutputFormat.JSON:
        names = ("name", "kind", "dtype", "shape", "size_bytes")
        print_json({**facts, "tensors": [dict(zip(names, row, strict=True)) for row in rows]})
        return ExitCode.OK
    words = {"saved": format_age(facts.pop("saved_s")), "size": format_bytes(facts.pop("size_bytes"))}
    print_facts({name.replace("_", " "): value for name, value in {**facts, **words}.items()})
    shown = ([name, kind, dtype, shape, format_bytes(size)] for name, kind, dtype, shape, size in rows)
    print_table(("tensor", "kind", "type", "shape", "size"), shown)
    return ExitCode.OK


@app.command()
def verify(
    where: _Where,
    *,
    step: _Step = None,
    every: Annotated[bool, typer.Option("--all", help="every checkpoint there is")] = False,
    folder: FolderOption = Path("runs"),
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Read every byte of a checkpoint and check it against its hash. Exit code 1 when something is damaged."""
    from checkpoint.commits import list_commits
    from checkpoint.verify import verify_commit

    store = _open(where, folder, storage_option).store
    commits = list_commits(store) if every else [_choose(store, step)]
    reports = [verify_commit(store, info) for info in commits]
    if output is OutputFormat.JSON:
        print_json([{**asdict(report), "whole": report.whole} for report in reports])
    else:
        _print_reports(reports)
    return ExitCode.OK if all(report.whole for report in reports) else ExitCode.FAILED


@app.command()
def export(
    where: _Where,
    *,
    out: Annotated[Path, typer.Option(help="folder to create")],
    step: _Step = None,
    folder: FolderOption = Path("runs"),
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Write the weights as plain safetensors, with the resolved configuration, for Hugging Face tools and others."""
    from checkpoint.export import export_safetensors
    from configs.redact import redacted

    if out.exists():
        from scripts.cli.cli_errors import CommandError

        raise CommandError(f"--out {out} exists already; export never overwrites, choose another folder")
    place = _open(where, folder, storage_option)
    chosen = _choose(place.store, step)
    written = export_safetensors(place.store, chosen, out, resolved_config=redacted(place.document or {}))
    files = sorted(path.name for path in written.iterdir())
    if output is OutputFormat.JSON:
        print_json({"folder": str(written), "step": chosen.step, "files": files})
    else:
        console().print(f"step {chosen.step} is in {written}: {', '.join(files)}", soft_wrap=True)
    return ExitCode.OK


def _open(where: str, folder: Path, options: list[str] | None) -> _Place:
    """A URL is taken as it is, and so is a folder that is no run; anything else names a run."""
    from checkpoint.stores import open_store

    given = parse_options(options)
    is_run_folder = (Path(where) / "config.yaml").exists()
    if "://" in where or (Path(where).is_dir() and not is_run_folder and not (folder / where).is_dir()):
        return _Place(open_store(where, given), None)
    from configs.compose import compose_document
    from scripts.starting import checkpoint_url

    run = find_run(where, folder)
    composed = compose_document(run.document(), [])
    record = run.record()
    url = (
        record.checkpoint_url
        if record is not None and record.checkpoint_url
        else checkpoint_url(composed.spec, run.path)
    )
    return _Place(open_store(url, {**composed.spec.checkpoint.storage_options, **given}), composed.document)


def _choose(store: "Store", step: int | None) -> "CommitInfo":
    from checkpoint.commits import list_commits, usable_commits

    commits = usable_commits(store) if step is None else list_commits(store)
    fitting = [info for info in commits if step in {None, info.step}]
    if fitting:
        return fitting[0]
    there = ", ".join(str(info.step) for info in commits) or "none"
    wanted = "no whole checkpoint" if step is None else f"no checkpoint of step {step}"
    raise NotFoundError(f"{store.url} has {wanted}; there are: {there}")


def _print_reports(reports: "Iterable[VerifyReport]") -> None:
    out = console()
    for report in reports:
        state = "whole" if report.whole else f"DAMAGED in {plural(len(report.damaged), 'place')}"
        out.print(
            f"step {report.step}: {state}; {format_bytes(report.size_bytes)} in "
            f"{plural(report.num_chunks, 'chunk')} of "
            f"{plural(report.num_objects, 'object')} read in {report.seconds:.1f} s",
            soft_wrap=True,
        )
        for damage in report.damaged:
            out.print(f"  {damage}", soft_wrap=True)
