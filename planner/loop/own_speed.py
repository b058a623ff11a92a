"""Time and memory of a study's next runs, from those that it has made on the same machines.

Seconds are a start, and so much for each step, token and FLOP; bytes are a base, and so much for each parameter. All
are non-negative, found by least squares of the relative error (Lawson and Hanson 1974, chapter 23). What the queue and
its machines really do is in them: start-up, evaluation, saving, and whoever shares the cores.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import t as student

from planner.forecasts.ledger_entries import Predicted
from planner.loop.study import StudyRun

LEVELS = (0.5, 0.8, 0.9)
_FEWEST = 6
_LEAST_SPREAD = 0.02
"""Of the logarithm: no machine repeats a run's time better than that."""
_Features: TypeAlias = Callable[[StudyRun], tuple[float, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    costs: NDArray[np.float64]
    spread: float
    freedom: int

    def predicted(self, features: Sequence[float]) -> Predicted | None:
        """Return the forecast with its intervals: Student's t about it, on the logarithm."""
        value = float(np.dot(self.costs, features))
        if value <= 0.0:
            return None
        halves = [(level, self.spread * float(student.ppf(0.5 + 0.5 * level, self.freedom))) for level in LEVELS]
        intervals = tuple((level, value * math.exp(-half), value * math.exp(half)) for level, half in halves)
        return Predicted(value, intervals)


class OwnSpeed:
    """What runs cost in seconds and bytes, as far as `runs` tell."""

    def __init__(self, runs: Sequence[StudyRun]) -> None:
        """Fit to the finished runs; quantities with too few of them are not forecast."""
        finished = [run for run in runs if run.is_evidence]
        self._time = _fit([run for run in finished if run.time_s], _time_features, lambda run: run.time_s or 0.0)
        self._memory = _fit(
            [run for run in finished if run.memory_bytes], _memory_features, lambda run: run.memory_bytes or 0.0
        )

    def predicted(self, run: StudyRun) -> dict[str, Predicted]:
        """Return `time_s` and `memory_bytes` of a run that is to be made, those that can be told."""
        found = {}
        for name, fitted, features in (
            ("time_s", self._time, _time_features),
            ("memory_bytes", self._memory, _memory_features),
        ):
            predicted = None if fitted is None else fitted.predicted(features(run))
            if predicted is not None:
                found[name] = predicted
        return found


def _time_features(run: StudyRun) -> tuple[float, ...]:
    return 1.0, float(run.steps or 0), run.tokens, run.flops


def _memory_features(run: StudyRun) -> tuple[float, ...]:
    return 1.0, run.params


def _fit(runs: Sequence[StudyRun], features: _Features, measured: Callable[[StudyRun], float]) -> _Fitted | None:
    if len(runs) < _FEWEST:
        return None
    values = np.array([measured(run) for run in runs])
    matrix = np.array([features(run) for run in runs])
    scale = np.maximum(matrix.max(axis=0), 1e-300)
    costs, _ = nnls(matrix / scale / values[:, None], np.ones(len(runs)))
    costs = costs / scale
    freedom = max(1, len(runs) - int((costs > 0).sum()))
    residuals = np.log(np.maximum(matrix @ costs, 1e-300) / values)
    spread = max(_LEAST_SPREAD, float(np.sqrt((residuals**2).sum() / freedom)))
    return _Fitted(costs, spread * math.sqrt(1.0 + 1.0 / len(runs)), freedom)
