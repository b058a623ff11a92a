"""Expected run times by (team, recipe, shape), for reservations and for what people are told."""

import numpy as np

from batch.scheduler.arrays import Floats, Ints
from batch.scheduler.learner import NUM_BINS, Learner, bin_of, remaining_quantiles

MOST_MODELS = 1024
"""Recipes beyond these share the model of their team and size."""


class Durations:
    """Counts by recipe. Each model borrows from its class in the learner until it has seen enough ends of its own."""

    def __init__(self, learner: Learner, prior_weight: float) -> None:
        self._learner = learner
        self._weight = prior_weight
        self._models: dict[tuple[int, str, int], int] = {}
        self._cells: list[int] = []
        self._entered: list[Floats] = []
        self._ended: list[Floats] = []
        self._ends: list[tuple[int, int]] = []
        self._tables: dict[float, Floats] = {}
        self._as_of = (-1, -1)

    def model(self, cell: int, recipe: str, profile: int) -> int:
        """Return the number of the model of jobs of `recipe` and `profile` in class `cell`."""
        key = (cell, recipe, profile)
        if key not in self._models and len(self._models) >= MOST_MODELS:
            key = (cell, "", -1)
        number = self._models.get(key)
        if number is None:
            number = self._models[key] = len(self._cells)
            self._cells.append(cell)
            self._entered.append(np.zeros(NUM_BINS))
            self._ended.append(np.zeros(NUM_BINS))
        return number

    def end(self, model: int, run_s: float) -> None:
        """Learn that a job ran `run_s` in all, from the learner's next rebuild on."""
        self._count()
        self._ends.append((model, bin_of(run_s)))

    def remaining_s(self, quantile: float) -> Floats:
        """Return remaining times as `learner.remaining_quantiles`, [models, bins], as of the learner's last rebuild."""
        self._count()
        if quantile not in self._tables:
            self._tables[quantile] = remaining_quantiles(self._hazards(), quantile)
        return self._tables[quantile]

    def _count(self) -> None:
        """Count the ends before the learner's last rebuild, and no others: nothing depends on who asks when."""
        as_of = (self._learner.version, len(self._cells))
        if as_of == self._as_of:
            return
        if as_of[0] != self._as_of[0]:
            for model, last in self._ends:
                self._entered[model][: last + 1] += 1
                self._ended[model][last] += 1
            self._ends.clear()
        self._as_of = as_of
        self._tables = {}

    def _hazards(self) -> Floats:
        if not self._cells:
            return np.zeros((0, NUM_BINS))
        cells: Ints = np.array(self._cells)
        parent = self._learner.hazards[cells]
        ended, entered = np.stack(self._ended), np.stack(self._entered)
        return np.asarray((ended + self._weight * parent) / (entered + self._weight))
