"""What programs tell about themselves, as the controller takes it: numbers that are none are left out. Pure.

A loss that became NaN, or a checkpoint that a program dates wrongly, must not keep its agent from reporting all others.
"""

import math
from dataclasses import replace

from batch.json_values import MAX_INTEGER
from batch.launcher import Ended, Progress


def sendable_end(ended: Ended) -> Ended:
    """Return the end with those metrics that are numbers."""
    return replace(ended, metrics={name: value for name, value in ended.metrics.items() if math.isfinite(value)})


def sendable_progress(progress: Progress) -> Progress:
    """Return the progress without a time or a step that cannot be one."""
    is_time = progress.saved_s is not None and math.isfinite(progress.saved_s)
    is_step = progress.step is not None and 0 <= progress.step <= MAX_INTEGER
    return Progress(saved_s=progress.saved_s if is_time else None, step=progress.step if is_step else None)
