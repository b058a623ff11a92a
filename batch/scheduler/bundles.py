"""Which nodes running gangs are on, as columns that are kept while jobs come and go."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from batch.scheduler.arrays import Ints, starts_of

_FIRST_CAPACITY = 64
_GONE = -1


class GangBundles:
    """Columns row, pool, node: the bundles of a gang lie side by side, and keep their place until many others are gone.

    Rows are those of the running jobs, of which every one is told of; a job on one node has no columns here.
    """

    def __init__(self) -> None:
        self._columns: Ints = np.full((3, _FIRST_CAPACITY), _GONE, dtype=np.int64)
        self._end = 0
        self._gone = 0
        self._spans: list[tuple[int, int]] = []

    def add(self, pool: int, nodes: Sequence[int]) -> None:
        """A job got a place, and with it the next row."""
        first, end = self._end, self._end + (len(nodes) if len(nodes) > 1 else 0)
        self._spans.append((first, end))
        if first == end:
            return
        while end > self._columns.shape[1]:
            self._columns = np.concatenate([self._columns, np.full_like(self._columns, _GONE)], axis=1)
        self._columns[0, first:end] = len(self._spans) - 1
        self._columns[1, first:end] = pool
        self._columns[2, first:end] = nodes
        self._end = end

    def drop(self, row: int) -> None:
        """A job gave its place back; the last row becomes `row`."""
        first, end = self._spans[row]
        self._columns[0, first:end] = _GONE
        self._gone += end - first
        moved = self._spans.pop()
        if row < len(self._spans):
            self._spans[row] = moved
            self._columns[0, moved[0] : moved[1]] = row
        if 2 * self._gone > self._end:
            self._close_up()

    def _close_up(self) -> None:
        """Move what is left together; the cost is spread over as many bundles that went."""
        left = self.columns()
        self._columns[:, : left.shape[1]] = left
        self._end, self._gone = left.shape[1], 0
        for first, end in pairwise([*starts_of(left[0]).tolist(), self._end]):
            self._spans[int(left[0, first])] = (first, end)

    def columns(self) -> Ints:
        """Return the bundles of all gangs, in no particular order: [3, bundles]."""
        columns = self._columns[:, : self._end]
        return columns[:, columns[0] != _GONE] if self._gone else columns.copy()
