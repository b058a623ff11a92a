"""From a resolved configuration to a plan that the trainer can launch: a new run, or one that exists and continues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkpoint.commits import list_commits
from checkpoint.owner import read_owner, write_owner
from checkpoint.stores import open_store
from configs.errors import ContinueError, Problem
from configs.fingerprint import check_continues
from configs.provenance import collect
from configs.redact import redacted
from configs.schema import RunSpec
from configs.sources import COMMAND_LINE
from recipes.config import TargetConfig
from scripts.resume_command import resume_command
from trainer.plan import RunPlan
from trainer.run_folder import RunFolder
from trainer.states import RunState

if TYPE_CHECKING:
    from configs.compose import Composed


@dataclass(frozen=True, slots=True)
class Start:
    """What is about to be launched. `exists`: the run was created before, and goes on from its newest state."""

    composed: "Composed"
    plan: RunPlan
    folder: RunFolder
    exists: bool

    def is_finished(self) -> bool:
        """Return whether the run has already done all the steps that it is now asked for."""
        record = self.folder.record() if self.exists else None
        if record is None or RunState.of(record.state) is not RunState.FINISHED:
            return False
        return (record.step or 0) >= self.plan.run.steps

    def check_data(self) -> None:
        """Read the catalogue's index now, instead of in every worker after half a minute. Raises CatalogueError.

        Does nothing for a folder of another machine's, and for data of the user's own.
        """
        data = self.plan.data
        is_here = self.plan.cluster.address == "local" or "://" in (getattr(data, "url", None) or "")
        if not isinstance(data, TargetConfig) and is_here:
            from recipes.records import open_source  # noqa: PLC0415 - `show` and `runs` import this file too

            open_source(data)

    def create(self, command: Sequence[str]) -> None:
        """Write the run folder, and into the store whose the checkpoints are; called by the only process of the run.

        Raises ContinueError when checkpoints lie there that were made with another configuration, which the run would
        silently take up; RunFolderError, StoreError.
        """
        document = self.composed.document
        store = open_store(self.plan.checkpoint_url, self.plan.checkpoint.storage_options)
        owner = read_owner(store)
        if owner is not None and "configuration" in owner and list_commits(store):
            _check_owner(owner, redacted(document), self.plan.checkpoint_url)
        self.folder.create(document, collect(document, command))
        write_owner(store, {"run": self.plan.name, "configuration": redacted(document)})


def prepare(composed: "Composed", folder: Path | None = None) -> Start:
    """Return the start of the run that `composed` names; `folder` is where it is already known to lie.

    Writes nothing. Raises ContinueError when the run exists and its result would be another, RunFolderError when what
    is there is damaged.
    """
    spec = composed.spec
    assert spec.run.name is not None
    path = (folder or Path(spec.run.folder).expanduser() / spec.run.name).resolve()
    run_folder = RunFolder(path)
    exists = run_folder.exists()
    if exists:
        _check_same_place(run_folder, composed, moved=folder is not None)
        if run_folder.has_trained():
            warnings = check_continues(run_folder.document(), composed.document)
            composed = replace(composed, warnings=(*composed.warnings, *warnings))
        _check_checkpoints_are_there(run_folder, spec, checkpoint_url(spec, path))
    plan = RunPlan(
        name=spec.run.name,
        folder=path,
        checkpoint_url=checkpoint_url(spec, path),
        run=spec.run,
        optim=spec.optim,
        engine=spec.engine,
        # Workers run in other folders than the command line.
        cluster=replace(spec.cluster, code_folders=_absolute(spec.cluster.code_folders)),
        checkpoint=spec.checkpoint,
        recipe=spec.recipe,
        model=spec.model,
        data=spec.data,
        resume_command=resume_command(spec.run.name, path),
    )
    return Start(composed, plan, run_folder, exists)


def _check_same_place(run_folder: RunFolder, composed: "Composed", *, moved: bool) -> None:
    """Refuse to rename or move a run by a setting; `moved`: it was found by its path, whatever its settings say."""
    spec = composed.spec
    if spec.run.name != run_folder.name:
        message = f"the run in {run_folder.path} is called {run_folder.name}"
        raise ContinueError([Problem("run.name", message, None, spec.run.name, "leave it out, or train a new run")])
    if moved and composed.sources.of("run.folder") == COMMAND_LINE:
        message = f"the run lies in {run_folder.path}"
        raise ContinueError([Problem("run.folder", message, None, spec.run.folder, "leave it out, or move the folder")])


def _check_checkpoints_are_there(run_folder: RunFolder, spec: RunSpec, url: str) -> None:
    """Refuse a place without any checkpoint when the run has written some: it would silently start over."""
    if not run_folder.has_saved() or list_commits(open_store(url, spec.checkpoint.storage_options)):
        return
    record = run_folder.record()
    written = url if record is None else record.checkpoint_url
    message = f"there is no checkpoint of this run, which wrote some to {written}"
    advice = f"copy them to {url} first, or choose another run.name to start anew"
    raise ContinueError([Problem("checkpoint.url", message, None, url, advice)])


def _check_owner(owner: Mapping[str, Any], document: Mapping[str, Any], url: str) -> None:
    try:
        check_continues(owner["configuration"], document)
    except ContinueError as error:
        message = f"the checkpoints there are of run {owner.get('run')}, whose result would be another"
        advice = "choose another checkpoint.url or run.name"
        problem = Problem("checkpoint.url", message, None, url, advice)
        raise ContinueError([problem, *error.problems[1:]]) from error


def checkpoint_url(spec: RunSpec, run_path: Path) -> str:
    """Return where the run's checkpoints lie: in its folder, or below the configured place under its name."""
    if spec.checkpoint.url is None:
        return str(run_path / "checkpoints")
    if "://" in spec.checkpoint.url:
        return f"{spec.checkpoint.url.rstrip('/')}/{spec.run.name}"
    return str(Path(spec.checkpoint.url).expanduser().resolve() / str(spec.run.name))


def _absolute(folders: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(folder).expanduser().resolve()) for folder in folders)
