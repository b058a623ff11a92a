"""From a resolved configuration to a plan that the trainer can launch: a new run, or one that exists and continues."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from checkpoint.commits import list_commits
from checkpoint.stores import open_store
from configs.errors import ContinueError, Problem
from configs.fingerprint import check_continues
from configs.provenance import collect
from configs.schema import RunSpec
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

    def create(self, command: Sequence[str]) -> None:
        """Write the run folder: resolved configuration and provenance. Raises RunFolderError."""
        document = self.composed.document
        self.folder.create(document, collect(document, command))


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
        _check_same_name(run_folder, spec)
        warnings = check_continues(run_folder.document(), composed.document)
        _check_checkpoints_came_along(run_folder, spec, checkpoint_url(spec, path))
        composed = replace(composed, warnings=(*composed.warnings, *warnings))
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


def _check_same_name(run_folder: RunFolder, spec: RunSpec) -> None:
    if spec.run.name != run_folder.name:
        message = f"the run in {run_folder.path} is called {run_folder.name}"
        raise ContinueError([Problem("run.name", message, None, spec.run.name, "leave it out, or train a new run")])


def _check_checkpoints_came_along(run_folder: RunFolder, spec: RunSpec, url: str) -> None:
    """Refuse another place that holds no checkpoint while the old one does: the run would silently start over."""
    record = run_folder.record()
    if record is None or record.checkpoint_url in {"", url}:
        return
    options = spec.checkpoint.storage_options
    if list_commits(open_store(url, options)) or not list_commits(open_store(record.checkpoint_url, options)):
        return
    message = f"there is no checkpoint of this run, which has some in {record.checkpoint_url}"
    advice = f"copy them to {url} first, or choose another run.name to start anew"
    raise ContinueError([Problem("checkpoint.url", message, None, url, advice)])


def checkpoint_url(spec: RunSpec, run_path: Path) -> str:
    """Return where the run's checkpoints lie: in its folder, or below the configured place under its name."""
    if spec.checkpoint.url is None:
        return str(run_path / "checkpoints")
    if "://" in spec.checkpoint.url:
        return f"{spec.checkpoint.url.rstrip('/')}/{spec.run.name}"
    return str(Path(spec.checkpoint.url).expanduser().resolve() / str(spec.run.name))


def _absolute(folders: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(folder).expanduser().resolve()) for folder in folders)
