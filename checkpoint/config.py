"""The checkpoint section of a run's configuration. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Where state goes, and how often. configs checks and shows `min`, `max` and `help` of the metadata."""

    url: str | None = field(
        default=None,
        metadata={
            "help": "folder or URL (s3://bucket/prefix, gs://, az://, any fsspec URL); the run's name is "
            "appended. None: `checkpoints` in the run folder"
        },
    )
    storage_options: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={"help": "passed to the store's client, for example endpoint and region"},
    )
    every_steps: int = field(default=50, metadata={"min": 1, "help": "steps between durable checkpoints"})
    snapshot_every_steps: int = field(
        default=1,
        metadata={"min": 1, "help": "steps between snapshots into shared memory, which survive a worker"},
    )
    keep_last: int = field(
        default=3, metadata={"min": 2, "help": "newest checkpoints that retention never touches"}
    )
    keep_every_steps: int | None = field(
        default=None,
        metadata={"min": 1, "help": "also keep each checkpoint whose step is a multiple of this"},
    )
    when_busy: Literal["skip", "wait"] = field(
        default="skip", metadata={"help": "a save is due while the one before is still being written"}
    )
    segment_bytes: int = field(
        default=512 * 2**20, metadata={"min": 4096, "help": "most tensor data in one object"}
    )
    save_timeout_s: float = field(
        default=1800.0, metadata={"min": 1.0, "help": "deadline of one durable save"}
    )
    arena_folder: str = field(default="/dev/shm", metadata={"help": "tmpfs folder that holds the snapshots"})
    hash_snapshots: bool = field(
        default=False, metadata={"help": "checksum each snapshot's data, so that restoring from memory verifies it"}
    )
    linger_s: float = field(
        default=600.0, metadata={"min": 0.0, "help": "how long snapshots stay in memory after the last worker is gone"}
    )
