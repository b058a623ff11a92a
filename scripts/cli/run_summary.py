"""What can be said about a run from its folder alone, while it runs or afterwards."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.resume_command import resume_command
from trainer.errors import RunFolderError
from trainer.events import Event, read_events
from trainer.run_folder import RunFolder, RunRecord
from trainer.states import RunState

_TAIL_BYTES = 256 * 2**10
_PROC_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run. `process`: the pid on this machine that trains it, None when there is none or nobody can tell."""

    run: str
    folder: str
    state: str
    process: int | None
    attempt: int
    generation: int
    fence: int
    step: int
    steps: int
    loss: float | None
    samples_per_s: float | None
    last_checkpoint_step: int | None
    checkpoint_url: str
    workers: list[dict[str, Any]]
    reason: str | None
    exit_code: int | None
    started_s: float | None
    updated_s: float | None
    metrics: dict[str, float]
    resume_command: str | None

    @property
    def is_abandoned(self) -> bool:
        """Whether the record says that the run is going on, but no process on this machine trains it."""
        return self.process is None and not RunState.of(self.state).is_terminal and self.attempt > 0


def summarize(folder: RunFolder) -> RunSummary:
    """Return what record and newest events say. Raises RunFolderError when the run's configuration is damaged."""
    record = folder.record() or _not_started(folder)
    newest = newest_events(folder, {"step", "checkpoint_committed"})
    step = newest.get("step", {})
    committed = newest.get("checkpoint_committed", {})
    state = RunState.of(record.state)
    times = [time_s for time_s in (record.updated_s, step.get("time_s")) if time_s is not None]
    return RunSummary(
        run=folder.name,
        folder=str(folder.path),
        state=record.state,
        process=lock_holder(folder.path / ".lock"),
        attempt=record.attempt,
        generation=record.generation,
        fence=record.fence,
        step=int(record.step if record.step is not None and state.is_terminal else step.get("step", 0)),
        steps=record.steps,
        loss=step.get("loss"),
        samples_per_s=step.get("samples_per_s"),
        last_checkpoint_step=committed.get("step"),
        checkpoint_url=record.checkpoint_url,
        workers=[asdict(worker) for worker in record.workers],
        reason=record.reason,
        exit_code=record.exit_code,
        started_s=record.started_s,
        updated_s=max(times, default=None),
        metrics=dict(record.metrics),
        resume_command=resume_command(folder.name, folder.path) if state is not RunState.FINISHED else None,
    )


def newest_events(folder: RunFolder, names: set[str]) -> dict[str, Event]:
    """Return the newest event of each name, as far as the end of the log reaches back."""
    path = folder.events_path
    size_bytes = path.stat().st_size if path.exists() else 0
    # A line that the offset cuts is no JSON any more, and skipped.
    tail = read_events(path, max(0, size_bytes - _TAIL_BYTES))
    return {event["event"]: event for event, _ in tail if event.get("event") in names}


def lock_holder(lock: Path) -> int | None:
    """Return the pid that holds the run's lock on this machine, without touching the lock; None if nobody does.

    The kernel lists locks by device and inode (proc_locks(5)): trying the lock instead could refuse a run that starts
    at that moment.
    """
    try:
        status = lock.stat()
        lines = _PROC_LOCKS.read_text().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        words = line.split()
        if wanted in words and "FLOCK" in words and "->" not in words:
            return int(words[words.index(wanted) - 1])
    return None


def _not_started(folder: RunFolder) -> RunRecord:
    document = folder.document()
    try:
        steps = int(document["run"]["steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{folder.path}/config.yaml is damaged (run.steps): start a new run") from error
    return RunRecord(folder.name, RunState.CREATED.text, steps, "")
