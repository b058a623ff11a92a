"""Where an attempt keeps its files: the one place that knows the layout below a job's folder.

<agent's folder>/jobs/<uid>/          Lease.folder: one per job on this pool
    run/                              OSTINATO_RUN_FOLDER: the job's own, the same for all its attempts
    code/                             the job's copy of the working folder, while an attempt has it
    over.json                         since when the job is over (retention.py)
    attempts/<attempt>/
        checkpoint.json               OSTINATO_CHECKPOINT_FILE: the newest checkpoint that this attempt reported
        rank-<r>.log                  standard output and error
        rank-<r>/                     what agent and runner say to each other (runner.py)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch.agent.atomic_files import read_json
from batch.agent.exits import ProcessExit
from batch.launcher import Lease


def run_path(lease: Lease) -> Path:
    """Return the job's run folder."""
    return lease.folder / "run"


def attempt_path(job_folder: Path, attempt: int) -> Path:
    """Return the folder of one attempt."""
    return job_folder / "attempts" / str(attempt)


def checkpoint_path(lease: Lease) -> Path:
    """Return where the attempt reports its checkpoints."""
    return attempt_path(lease.folder, lease.attempt) / "checkpoint.json"


def rank_path(lease: Lease, rank: int) -> Path:
    """Return the folder that agent and runner of one process share."""
    return attempt_path(lease.folder, lease.attempt) / f"rank-{rank}"


def log_path(job_folder: Path, attempt: int, rank: int) -> Path:
    """Return the log of one process."""
    return attempt_path(job_folder, attempt) / f"rank-{rank}.log"


def newest_checkpoint(lease: Lease) -> Mapping[str, Any] | None:
    """Return the newest report of this attempt or, failing that, of the ones before.

    An attempt only writes its own file, so one that wakes up late changes nothing of a later one.
    """
    for attempt in range(lease.attempt, 0, -1):
        report = read_json(attempt_path(lease.folder, attempt) / "checkpoint.json")
        if report is not None and isinstance(report.get("path"), str):
            return report
    return None


def process_exit(lease: Lease, rank: int) -> ProcessExit | None:
    """Return how the process of `rank` ended; None while nothing is written down."""
    raw = read_json(rank_path(lease, rank) / "exit.json")
    if raw is None:
        return None
    return ProcessExit(rank, raw["code"], raw["why"], raw["out_of_memory"], raw["ended_s"])
