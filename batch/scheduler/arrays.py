"""Columns of numbers: what the scheduler ranks is kept in numpy arrays, one row each for a running job or a bucket."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RANKED_INTS = ("share", "tier", "place", "due", "count", "rate_at")
RANKED_FLOATS = ("chips", "since_s", "divisor")
"""What a ranking reads of what runs and of what waits: the first columns of both tables.

`place` says where it may be, `count` how many jobs it is, `rate_at` which of `Learner.rates`, one after the other, is
its class's (in the first bin, if it runs), `divisor` by what that is divided.
"""

_FIRST_CAPACITY = 64


def ordered(groups: Ints, *keys: Floats) -> Ints:
    """Return the order by group, then by the keys, the first first; ties stay as they are. Fewer than 32,768 groups.

    The same as `np.lexsort((*reversed(keys), groups))` in a third of the time: groups are sorted by radix.
    """
    order = keys[-1].argsort(kind="stable")
    for key in reversed(keys[:-1]):
        order = order[key[order].argsort(kind="stable")]
    return order[groups[order].astype(np.int16).argsort(kind="stable")]


def starts_of(groups: Ints) -> Ints:
    """Return where each group begins; what is of one group lies side by side."""
    begins = np.ones(len(groups), dtype=np.bool_)
    np.not_equal(groups[1:], groups[:-1], out=begins[1:])
    return begins.nonzero()[0]


class Table:
    """Dense rows in named columns. Dropping a row moves the last one into its place, so rows are no identities.

    Columns of one type lie in one block, in the order in which they are named, so that the first of them are taken at
    once. `touched` gathers the shares (column `share`) of which a row came, went, moved or changed, until somebody
    clears it; changes of the columns `unranked` are not counted.
    """

    def __init__(
        self, ints: Sequence[str], floats: Sequence[str], bools: Sequence[str] = (), unranked: Collection[str] = ()
    ) -> None:
        self.count = 0
        self.touched: set[int] = set()
        self._unranked = frozenset(unranked)
        self._names = tuple(ints), tuple(floats), tuple(bools)
        self._ints: Ints = np.zeros((len(ints), _FIRST_CAPACITY), dtype=np.int64)
        self._floats: Floats = np.zeros((len(floats), _FIRST_CAPACITY))
        self._bools: Bools = np.zeros((len(bools), _FIRST_CAPACITY), dtype=np.bool_)
        self._columns = self._by_name()

    def _by_name(self) -> dict[str, npt.NDArray[Any]]:
        blocks = self._ints, self._floats, self._bools
        pairs = (zip(names, block, strict=True) for names, block in zip(self._names, blocks, strict=True))
        return dict(chain.from_iterable(pairs))

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a view of column `name`, one value per row; it is stale after the next `append` or `drop`."""
        return self._columns[name][: self.count]

    def ints(self, num: int, rows: Ints) -> Ints:
        """Return the first `num` columns of integers of `rows`: [num, rows]."""
        return self._ints[:num].take(rows, axis=1)

    def floats(self, num: int, rows: Ints) -> Floats:
        """Return the first `num` columns of floats of `rows`: [num, rows]."""
        return self._floats[:num].take(rows, axis=1)

    def append(self, values: Mapping[str, Any]) -> int:
        """Add a row and return its number. `values` must name all columns."""
        row = self.count
        if row == self._ints.shape[1]:
            self._grow()
        self.count += 1
        columns = self._columns
        for name, value in values.items():
            columns[name][row] = value
        self.touched.add(values["share"])
        return row

    def _grow(self) -> None:
        blocks = (self._ints, self._floats, self._bools)
        self._ints, self._floats, self._bools = (np.concatenate([b, np.zeros_like(b)], axis=1) for b in blocks)
        self._columns = self._by_name()

    def put(self, row: int, name: str, value: float) -> None:
        """Set one value."""
        self._columns[name][row] = value
        if name not in self._unranked:
            self.touched.add(int(self._columns["share"][row]))

    def drop(self, row: int) -> int:
        """Remove a row. Returns the number of the row that moved into its place (the last, perhaps `row` itself)."""
        self.count -= 1
        last = self.count
        share = self._columns["share"]
        self.touched.add(int(share[row]))
        if row != last:
            self.touched.add(int(share[last]))
            for block in (self._ints, self._floats, self._bools):
                block[:, row] = block[:, last]
        return last
