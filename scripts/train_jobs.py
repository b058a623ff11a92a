"""Runs jobs of kind `train`: the agent's launcher that knows the trainer's run folder. Imports no Ray and no torch."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch.agent.atomic_files import replace_json
from batch.agent.attempt_folder import attempt_path, run_path
from batch.agent.command import CommandLauncher, CommandPayload
from batch.errors import BadRequestError, LaunchError
from batch.json_values import from_json, to_json
from batch.launcher import Ended, Lease, Progress
from batch.model import Cause
from scripts.train_payload import TrainAttempt, TrainPayload
from trainer.errors import RunFolderError
from trainer.events import read_events
from trainer.failures import Cause as TrainerCause
from trainer.run_folder import RunFolder, list_runs

_PACKAGES_FOLDER = Path(__file__).resolve().parent.parent
_STARTED = frozenset({"worker_started", "step", "run_finished", "run_failed", "run_interrupted"})
_CAUSES = {
    TrainerCause.INFRASTRUCTURE.value: Cause.INFRASTRUCTURE,
    TrainerCause.PREEMPTION.value: Cause.PREEMPTION,
    TrainerCause.OUT_OF_MEMORY.value: Cause.OUT_OF_MEMORY,
    TrainerCause.USER_CODE.value: Cause.USER_CODE,
    TrainerCause.ENVIRONMENT.value: Cause.LAUNCH,
    TrainerCause.PERMANENT.value: Cause.USER_CODE,
}
_EXIT_ENVIRONMENT = 4
_TAIL_BYTES = 4096
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the events of a run have said so far, up to `offset`."""

    offset: int = 0
    progress: Progress = field(default_factory=Progress)
    is_started: bool = False
    gave_up: str | None = None
    """The cause of the supervisor's last decision not to try again."""


class TrainLauncher:
    """Starts runs. Satisfies batch.launcher.Launcher.

    The driver of a run is a command on the attempt's first node: it outlives the agent as commands do, starts or joins
    a Ray (`cluster`: local, auto or host:port), and so the workers, on as many nodes as they need.
    """

    def __init__(self, commands: CommandLauncher, cluster: str = "local") -> None:
        self._commands = commands
        self._cluster = cluster
        self._seen: dict[tuple[int, int], _Seen] = {}

    def start(self, lease: Lease) -> None:
        """See Launcher."""
        try:
            payload = from_json(TrainPayload, lease.payload, "payload")
        except BadRequestError as error:
            raise LaunchError(f"job {lease.id}: {error}") from error
        attempt = TrainAttempt(
            payload=payload,
            job=lease.id,
            lease=lease.fence,
            folder=str(run_path(lease)),
            cluster=self._cluster,
            code_folder=None if lease.code_path is None else str(lease.code_path),
        )
        path = attempt_path(lease.folder, lease.attempt) / "train.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(path, to_json(attempt))
        # -P: what was submitted may have folders with the names of our packages, and is the working folder.
        command = (sys.executable, "-P", "-m", "scripts.run_job", str(path))
        program = CommandPayload(command=command, stops_its_own=True)
        self._commands.start_program(_driver(lease), program, {"PYTHONPATH": str(_PACKAGES_FOLDER)})

    def started_s(self, lease: Lease) -> float | None:
        """See Launcher. Runs when its first worker does."""
        return self._commands.started_s(_driver(lease)) if self._look(lease).is_started else None

    def poll(self, lease: Lease) -> Ended | None:
        """See Launcher. What the run's record says is more than the exit code of its driver."""
        ended = self._commands.poll(_driver(lease))
        if ended is None:
            return None
        seen = self._look(lease)
        self._seen.pop((lease.uid, lease.attempt), None)
        run = _run(lease)
        if ended.state == "failed" and ended.exit_code is not None and seen.gave_up is None:
            log = self._commands.log_paths(_driver(lease)).get(0)
            return _told_by_driver(ended, log)
        return _told_by_run(ended, seen, run)

    def progress(self, lease: Lease) -> Progress:
        """See Launcher."""
        return self._look(lease).progress

    def stop(self, lease: Lease, *, now: bool) -> None:
        """See Launcher."""
        self._commands.stop(_driver(lease), now=now)

    def limit(self, lease: Lease) -> None:
        """See Launcher."""
        self._commands.limit(_driver(lease))

    def log_paths(self, lease: Lease) -> Mapping[int, Path]:
        """See Launcher. What the driver prints is the log of rank -1, and of rank 0 until that has one."""
        driver = self._commands.log_paths(_driver(lease)).get(0)
        logs = {} if driver is None else {-1: driver, 0: driver}
        run = _run(lease)
        for path in [] if run is None else run.log_paths():
            kind, _, rank = path.stem.partition("-")
            if kind == "rank" and rank.isdigit():
                logs[int(rank)] = path
        return logs

    def _look(self, lease: Lease) -> _Seen:
        """Read on in the run's events."""
        run, started_s = _run(lease), self._commands.started_s(_driver(lease))
        seen = self._seen.get((lease.uid, lease.attempt), _Seen())
        if run is None or started_s is None:
            return seen
        for event, behind in read_events(run.events_path, seen.offset):
            seen = replace(seen, offset=behind)
            if event["event"] == "checkpoint_committed":
                seen = replace(seen, progress=Progress(saved_s=event["time_s"], step=event["step"]))
            if event["time_s"] < started_s:
                continue  # of an earlier attempt: only what it saved counts
            if event["event"] in _STARTED:
                seen = replace(seen, is_started=True)
            elif event["event"] == "decision":
                seen = replace(seen, gave_up=event["cause"] if event["verdict"] == "GiveUp" else None)
        self._seen[lease.uid, lease.attempt] = seen
        return seen


def _driver(lease: Lease) -> Lease:
    return replace(lease, nodes=lease.nodes[:1], devices=lease.devices[:1])


def _run(lease: Lease) -> RunFolder | None:
    runs = list_runs(run_path(lease))
    return runs[0] if runs else None


def _told_by_run(ended: Ended, seen: _Seen, run: RunFolder | None) -> Ended:
    try:
        record = None if run is None else run.record()
    except RunFolderError:
        record = None
    if record is None:
        return ended
    if ended.state == "succeeded":
        return replace(ended, metrics=dict(record.metrics))
    if ended.state != "failed" or seen.gave_up is None or ended.cause is not Cause.USER_CODE:
        return ended
    reason = (record.reason or ended.message).splitlines()[0]
    return replace(ended, cause=_CAUSES.get(seen.gave_up, Cause.USER_CODE), message=reason)


def _told_by_driver(ended: Ended, log: Path | None) -> Ended:
    """Take the message from the end of the driver's log: it failed before there was a run, or without its doing."""
    said = _last_line(log)
    message = f"{ended.message}: {said}" if said else ended.message
    # Exit code 4 is nobody's code: something that the run needs is missing, or does not answer.
    cause = Cause.LAUNCH if ended.exit_code == _EXIT_ENVIRONMENT else ended.cause
    return replace(ended, cause=cause, message=message)


def _last_line(path: Path | None) -> str:
    if path is None:
        return ""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else ""
