"""What a job of kind `train` says, and what its agent hands to the process that runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPayload:
    """What a job of kind `train` says: a resolved configuration, or overrides to compose one from (`base`).

    `overrides` come on top: those of a member of a sweep. `config_dirs` lie below the code that was submitted.
    `ledger_head` is for the planner alone: the head of its ledger when that held the forecast of this run.
    """

    document: Mapping[str, Any] | None = None
    base: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()
    ledger_head: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAttempt:
    """One attempt, as the launcher writes it down. `folder` holds the job's run; `cluster` is where its pool trains."""

    payload: TrainPayload
    job: str
    lease: int
    folder: str
    cluster: str = "local"
    code_folder: str | None = None
