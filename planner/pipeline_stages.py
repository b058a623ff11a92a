"""Which layers a pipeline stage has, written short: runs of equal layers with their number."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.layout_table import Integers

Array = NDArray[np.float64]
Run = tuple[int, int]
"""A distinct row, and how often it comes in a row."""


class Profile(Protocol):
    """What memory_profile and time_profile return, as far as stages need it."""

    @property
    def is_layer(self) -> NDArray[np.bool_]:
        """[rows], in the order of execution."""
        ...

    @property
    def logits(self) -> float:
        """Positions times vocabulary."""
        ...


def stage_of_groups(is_layer: NDArray[np.bool_], stages: int, interleave: int) -> NDArray[np.int64]:
    """Return the pipeline stage of each row: layers spread evenly over the groups, the first groups one more.

    What comes before the layers is on the first stage, what comes after on the last.
    """
    groups = stages * interleave
    number = np.cumsum(is_layer) - 1
    small, extra = divmod(max(1, int(is_layer.sum())), groups)
    border = extra * (small + 1)
    group = np.where(number < border, number // (small + 1), extra + (number - border) // max(1, small))
    last = np.flatnonzero(is_layer)
    after = np.arange(len(number)) > (last[-1] if len(last) else -1)
    stage: NDArray[np.int64] = np.where(after, stages - 1, np.clip(group, 0, groups - 1) % stages)
    return stage


class DistinctRows:
    """The rows of one architecture's profiles at several micro-batches, each different one once.

    Most layers of a stack are alike, so that a hundred rows are three. The last row is always one of its own: the loss
    is computed after it.
    """

    def __init__(self, profiles: Mapping[int, Profile], columns: Sequence[str]) -> None:
        """Take profiles by micro-batch, of the same architecture, and the names of their columns that matter."""
        self.micro_batches = np.array(sorted(profiles), dtype=np.int64)
        self.profiles = [profiles[size] for size in self.micro_batches.tolist()]
        self._is_layer = self.profiles[0].is_layer
        stacked = np.array([[getattr(one, name) for name in columns] for one in self.profiles], dtype=np.float64)
        rows = len(self._is_layer)
        is_last = np.arange(rows) == rows - 1
        keys = np.concatenate([stacked.reshape(-1, rows), self._is_layer[None, :], is_last[None, :]])
        _, first, number = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        self._number = number.reshape(-1)
        self.values = {name: stacked[:, at, first] for at, name in enumerate(columns)}
        """By column, [micro-batches, distinct rows]."""
        self.is_layer = self._is_layer[first]
        """[distinct rows]."""
        self.logits = np.array([one.logits for one in self.profiles])
        """[micro-batches]."""
        self.last = int(self._number[-1])
        """The distinct row that is the last."""
        self._stages: dict[tuple[int, int], tuple[tuple[Run, ...], ...]] = {}

    def sizes(self, micro_batch: Integers) -> Integers:
        """Return where in `micro_batches` each layout's micro-batch is."""
        return np.searchsorted(self.micro_batches, micro_batch)

    def stages(self, pp: int, interleave: int) -> tuple[tuple[Run, ...], ...]:
        """Return for each stage its runs of equal rows, in the order of execution."""
        key = (pp, interleave)
        if key not in self._stages:
            stage = stage_of_groups(self._is_layer, pp, interleave)
            order = np.argsort(stage, kind="stable")
            borders = np.searchsorted(stage[order], np.arange(1, pp))
            self._stages[key] = tuple(
                tuple((row, len(list(alike))) for row, alike in groupby(rows.tolist()))
                for rows in np.split(self._number[order], borders)
            )
        return self._stages[key]


def distinct_rows(profiles: Mapping[int, Profile], columns: tuple[str, ...]) -> DistinctRows:
    """Return DistinctRows, kept for the next layouts of the same profiles."""
    return _kept(tuple(sorted(profiles.items())), columns)


@lru_cache(maxsize=256)
def _kept(profiles: tuple[tuple[int, Profile], ...], columns: tuple[str, ...]) -> DistinctRows:
    return DistinctRows(dict(profiles), columns)
