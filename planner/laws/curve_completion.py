"""The final loss of a run that is under way, from its curve so far and those of finished runs of the same model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.errors import BadInputError, BadRunsError
from planner.laws.fitting import LEVEL, Fit, fit
from planner.laws.learning_curve import DECAY, LEARNING_CURVE, areas
from planner.laws.runs import Array, runs_of

_SKIPPED = 0.05
"""Of a schedule: the law does not hold in the warm-up and just after it."""
_FEWEST = 5


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Losses, (m,), after these steps, (m,), counted from 1, of a run under a schedule, (all its steps,).

    All curves of one completion are of the same model and batch; a run under way has losses of its first steps only.
    """

    steps: Array
    losses: Array
    learning_rates: Array

    def __post_init__(self) -> None:
        """Raise BadInputError for steps outside the schedule."""
        if len(self.steps) != len(self.losses) or not len(self.steps):
            raise BadInputError(
                f"learning curve: {len(self.steps)} steps, {len(self.losses)} losses: must be as many, at least one"
            )
        if self.steps.min() < 1 or self.steps.max() > len(self.learning_rates):
            raise BadInputError(
                f"learning curve: steps {self.steps.min():g} to {self.steps.max():g} must lie in 1 to "
                f"{len(self.learning_rates)}, the length of its schedule"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """The loss at the end of the first curve's schedule, with the interval of the law's parameters."""

    loss: float
    interval: tuple[float, float] | None
    fit: Fit


def complete(
    under_way: Curve, finished: Sequence[Curve] = (), *, bootstrap: int = 0, seed: int = 0, level: float = LEVEL
) -> Completion:
    """Return what the run under way will reach at the end of its schedule.

    What annealing will bring can be learned only from curves in which the rate has fallen: without `finished` runs, a
    curve that has not begun to anneal is refused. Curves are resampled whole. Raises BadRunsError.
    """
    curves = (under_way, *finished)
    columns: list[tuple[Array, Array, Array, Array]] = []
    for number, curve in enumerate(curves):
        forward, annealing = areas(curve.learning_rates, DECAY)
        at = curve.steps.astype(np.intp) - 1
        rows = np.flatnonzero(curve.steps > _SKIPPED * len(curve.learning_rates))
        columns.append((forward[at][rows], annealing[at][rows], curve.losses[rows], np.full(len(rows), float(number))))
    forward, annealing, losses, number_of = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    if len(losses) < _FEWEST or float(annealing.max()) == 0.0:
        raise BadRunsError(
            f"learning curves: {len(losses)} points after the warm-up, of which none is annealed or too few are there "
            f"({_FEWEST} are needed): wait, or add the curve of a finished run of the same model"
        )
    ones = np.ones_like(losses)
    table = runs_of(ones, ones, losses, forward, forward_area=forward, annealing_area=annealing)
    runs = replace(table, group=np.array([f"curve {number:g}" for number in number_of]))
    found = fit(runs, LEARNING_CURVE, bootstrap=bootstrap if finished else 0, seed=seed)
    forward_end, annealing_end = (values[-1:] for values in areas(under_way.learning_rates, DECAY))
    end = {"forward_area": forward_end, "annealing_area": annealing_end}
    band = None
    if len(found.draws):
        low, high = found.predict_interval(end, level)
        band = float(low[0]), float(high[0])
    return Completion(float(found.predict(end)[0]), band, found)
