"""When a run ends: before it starts from the time of a step, and while it goes from the steps it has made."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from planner.errors import BadInputError
from planner.time_step import StepTime

_BLOCKS = 20
_FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """Seconds, with a range."""

    seconds: float
    low_s: float
    high_s: float
    steps: int


def run_time(step: StepTime, steps: int) -> RunTime:
    """Return the time of a run that has not begun: its steps, with the range of the calibration. No interruptions."""
    if steps < 1:
        raise BadInputError(f"steps = {steps}: must be at least 1")
    low, high = step.interval_s()
    return RunTime(seconds=steps * step.total_s, low_s=steps * low, high_s=steps * high, steps=steps)


def live_run_time(step_s: NDArray[np.floating[Any]], steps: int, *, level: float = 0.9) -> RunTime:
    """Return the whole time of a run of `steps` steps of which some are made.

    The mean of what was measured goes on; its error is that of the means of blocks, so that slow spells, checkpoints
    and stalls that lie together count as what they are (batch means: Law and Kelton, Simulation Modeling and Analysis,
    chapter 9), and the steps to come scatter as those that were. The first step, which compiles and loads, counts once.

    Args:
        step_s: [made], seconds of each step so far, in order, stalls included.
        steps: of the whole run.
        level: of the range.

    Raises:
        BadInputError: fewer than 10 steps, more than there are, or times that are none.
    """
    made = np.asarray(step_s, dtype=np.float64)
    if len(made) < _FEWEST or len(made) > steps:
        raise BadInputError(f"{len(made)} of {steps} steps: at least {_FEWEST} are needed, and no more than there are")
    if not np.all(np.isfinite(made) & (made > 0.0)):
        raise BadInputError("a step's time is not positive")
    if not 0.0 < level < 1.0:
        raise BadInputError(f"level = {level}: must lie between 0 and 1")
    left = steps - len(made)
    usual = made[1:]
    blocks = np.array([block.mean() for block in np.array_split(usual, min(_BLOCKS, len(usual) // 3))])
    length = len(usual) / len(blocks)
    block_variance = float(blocks.var(ddof=1))
    of_mean = block_variance / len(blocks)
    of_rest = block_variance * length / left if left else 0.0
    half = float(stdtrit(len(blocks) - 1, 0.5 + level / 2.0)) * left * math.sqrt(of_mean + of_rest)
    seconds = float(made.sum()) + left * float(usual.mean())
    return RunTime(seconds=seconds, low_s=max(float(made.sum()), seconds - half), high_s=seconds + half, steps=steps)
