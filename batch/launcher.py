"""How an agent starts, watches and stops attempts: the protocol, which the agent's launchers satisfy by shape.

The package knows neither Ray nor the trainer. scripts/ hands the agent a launcher for each kind of job.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from batch.model import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One attempt of one job, as the agent gets it. `fence` grows with each placement of the job and never repeats.

    `folder` is where the attempt keeps its files; it is the same for all attempts of a job on a pool. `code_path` is
    the unpacked working folder as it was when the job was submitted. `nodes` has one name per bundle, and `devices` the
    accelerators of each that are the attempt's own; empty where the launcher gets them from elsewhere.
    """

    uid: int
    id: str
    attempt: int
    fence: int
    kind: str
    payload: Mapping[str, Any]
    nodes: tuple[str, ...]
    gpus: int
    cpus: int
    grace_s: float
    time_limit_s: float | None
    folder: Path
    code_path: Path | None
    devices: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended. `state`: succeeded, failed, or interrupted (it saved and may go on)."""

    state: str
    exit_code: int | None = None
    cause: Cause | None = None
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an attempt said since it was last asked: its newest durable checkpoint (epoch seconds) and step."""

    saved_s: float | None = None
    step: int | None = None


class Launcher(Protocol):
    """Starts one kind of job. Called by one agent, from one thread; no call blocks for longer than a second.

    An attempt outlives the agent: whatever `start` makes is found again by `poll` of another agent process, by lease
    alone. Starting what already runs is a no-op.
    """

    def start(self, lease: Lease) -> None:
        """Start the attempt. Raises LaunchError."""
        ...

    def started_s(self, lease: Lease) -> float | None:
        """Return since when the attempt runs (epoch seconds); None while it is being started, or never was."""
        ...

    def poll(self, lease: Lease) -> Ended | None:
        """Return how the attempt ended, or None while it runs. One that is not there has ended of INFRASTRUCTURE."""
        ...

    def progress(self, lease: Lease) -> Progress:
        """Return the newest durable checkpoint that the attempt has reported."""
        ...

    def stop(self, lease: Lease, *, now: bool) -> None:
        """Ask the attempt to save and end (SIGTERM, with `grace_s`), or end it at once; returns before it has."""
        ...

    def limit(self, lease: Lease) -> None:
        """Let the attempt run until `lease.time_limit_s` after its start, whatever was said before."""
        ...

    def log_paths(self, lease: Lease) -> Mapping[int, Path]:
        """Return the log file of each rank that has one."""
        ...
