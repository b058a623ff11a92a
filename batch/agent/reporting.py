"""For programs that run as jobs: say that a checkpoint is durable. The standard library only.

    from batch.agent.reporting import report_checkpoint
    report_checkpoint("s3://bucket/run/step-100", step=100)

From then on a preemption costs the job only what it did since, the scheduler knows that, and the next attempt finds the
path in OSTINATO_RESUME_FROM. Programs in other languages run `ostinato report-checkpoint PATH --step N`, or write the
file themselves: JSON with `path`, `step` and `saved_s` (epoch seconds), renamed to OSTINATO_CHECKPOINT_FILE.
"""

import os
import time
from pathlib import Path

from batch.agent.atomic_files import replace_json


def report_checkpoint(path: str | os.PathLike[str], *, step: int | None = None) -> bool:
    """Say that what lies at `path` is complete and durable; return whether there is a queue to tell.

    Called after the save, by one process of the job. Blocks for one small write.
    """
    target = os.environ.get("OSTINATO_CHECKPOINT_FILE")
    if not target:
        return False
    replace_json(Path(target), {"path": os.fspath(path), "step": step, "saved_s": time.time()}, durable=True)
    return True
