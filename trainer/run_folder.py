"""The run folder: what a run leaves on disk, and the one place that knows its layout.

<folder>/<name>/
    config.yaml       resolved configuration (JSON, which is YAML), written when the run is created or continued
    provenance.json   fingerprint, git state, versions
    record.json       RunRecord, replaced atomically by the supervisor before it acts
    events.jsonl      append-only
    logs/             rank-<r>.log, supervisor.log, keeper.log
    checkpoints/      when checkpoint.url is not set
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from trainer.errors import RunFolderError
from trainer.events import Event, read_events
from trainer.states import RunState


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """Where one rank runs."""

    rank: int
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the supervisor knows of a run. `attempt` counts starts, `generation` memberships within an attempt.

    `identity` is drawn when the run begins: names are used again, identities are not. `retries` is the RetryHistory
    of the attempt.
    """

    run: str
    state: str
    steps: int
    checkpoint_url: str
    identity: str = ""
    attempt: int = 0
    fence: int = 0
    generation: int = 0
    step: int | None = None
    workers: tuple[WorkerRecord, ...] = ()
    reason: str | None = None
    exit_code: int | None = None
    retries: Mapping[str, Any] = field(default_factory=dict)
    started_s: float | None = None
    updated_s: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.events_path = path / "events.jsonl"
        self.logs_path = path / "logs"

    def exists(self) -> bool:
        """Return whether a run was created here."""
        return (self.path / "config.yaml").exists()

    def create(self, document: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Make the folder, or update the configuration of an existing run that is continued."""
        try:
            self.logs_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        _replace(self.path / "provenance.json", provenance)
        _replace(self.path / "config.yaml", document)

    def document(self) -> dict[str, Any]:
        """Return the resolved configuration. Raises RunFolderError."""
        return self._read("config.yaml")

    def provenance(self) -> dict[str, Any]:
        """Return fingerprint, git state and versions. Raises RunFolderError."""
        return self._read("provenance.json")

    def record(self) -> RunRecord | None:
        """Return the supervisor's record, or None before the first start. Raises RunFolderError when damaged."""
        if not (self.path / "record.json").exists():
            return None
        raw = self._read("record.json", "remove it, and the run goes on all the same")
        known = {f.name for f in fields(RunRecord)}
        raw = {key: value for key, value in raw.items() if key in known}
        try:
            raw["workers"] = tuple(WorkerRecord(**worker) for worker in raw.get("workers", ()))
            record = RunRecord(**raw)
            RunState.of(record.state)
        except (TypeError, ValueError) as error:
            path = self.path / "record.json"
            raise RunFolderError(f"{path} is damaged ({error}); remove it, and the run goes on all the same") from error
        return record

    def write_record(self, record: RunRecord) -> RunRecord:
        """Replace the record atomically; it is durable on return."""
        record = replace(record, updated_s=time.time())
        _replace(self.path / "record.json", asdict(record))
        return record

    def events(self, *, follow: bool = False, poll_s: float = 0.2) -> Iterator[Event]:
        """Yield the events so far; with `follow`, go on until the run has ended."""
        offset = 0
        while True:
            ended = not follow or self._has_ended()
            for event, behind in read_events(self.events_path, offset):
                offset = behind
                yield event
            if ended:
                return
            time.sleep(poll_s)

    def has_trained(self) -> bool:
        """Return whether the run has finished a step, ever."""
        return any(event["event"] == "step" for event in self.events())

    def has_saved(self) -> bool:
        """Return whether a checkpoint of the run has ever been durable."""
        return any(event["event"] == "checkpoint_committed" for event in self.events())

    def request_stop(self, *, now: bool = False) -> None:
        """Ask the supervisor to end the run: after the step and a save, or at once. Returns before it has."""
        _replace(self.path / "stop.json", {"when": "now" if now else "saved"})

    def stop_request(self) -> str | None:
        """Return `saved` or `now` when someone asked for the end of the run, else None."""
        path = self.path / "stop.json"
        return str(self._read("stop.json").get("when", "saved")) if path.exists() else None

    def clear_stop_request(self) -> None:
        """Forget a request that was meant for an earlier attempt."""
        (self.path / "stop.json").unlink(missing_ok=True)

    def log_paths(self) -> list[Path]:
        """Return the log files, sorted by name."""
        return sorted(self.logs_path.glob("*.log"))

    def lock(self) -> "RunLock":
        """Return the lock that keeps two processes from running the same run at once on this machine."""
        return RunLock(self.path)

    def _has_ended(self) -> bool:
        record = self.record()
        return record is not None and RunState.of(record.state).is_terminal

    def _read(self, name: str, advice: str = "restore it or start a new run") -> dict[str, Any]:
        path = self.path / name
        try:
            value = json.loads(path.read_text())
        except FileNotFoundError:
            raise RunFolderError(f"{path} does not exist: {self.path.name!r} is not a run here") from None
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged ({error}); {advice}") from error
        if not isinstance(value, dict):
            raise RunFolderError(f"{path} is damaged (not an object); {advice}")
        return value


class RunLock:
    """An advisory lock on a run folder, held as long as the context; freed by the kernel when its process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path / ".lock"
        self._descriptor = -1

    def __enter__(self) -> "RunLock":
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self._path.parent, error) from error
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unwritable(self._path.parent, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise RunFolderError(
                f"run {self._path.parent.name!r} is already being trained by another process; "
                "watch it with `ostinato logs -f`, stop it with `ostinato stop`, or choose another run.name"
            ) from None
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)


def list_runs(root: Path) -> list[RunFolder]:
    """Return the runs below `root`, newest change first."""
    if not root.is_dir():
        return []
    folders = [RunFolder(path) for path in root.iterdir() if path.is_dir()]
    runs = [folder for folder in folders if folder.exists()]
    return sorted(runs, key=lambda folder: _modified_s(folder), reverse=True)


def _modified_s(folder: RunFolder) -> float:
    times = [path.stat().st_mtime for path in (folder.events_path, folder.path / "config.yaml") if path.exists()]
    return max(times, default=0.0)


def _replace(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            json.dump(value, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _unwritable(path.parent, error) from error


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"run folder {path}: {error.strerror}; choose another run.folder or make room")
