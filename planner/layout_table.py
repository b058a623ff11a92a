"""Many layouts at once, as columns: memory and time are computed over these, of one layout or of a hundred thousand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import BadInputError
from planner.layout import Layout, Offload, Optimizer, Precision, Recompute

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

RECOMPUTES = tuple(Recompute)
"""In the order of their codes."""
_COUNTS = ("dp", "tp", "pp", "cp", "ep", "interleave", "zero", "micro_batch", "accumulation")
_FIXED = ("precision", "optimizer", "offload", "sequence_parallel")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LayoutTable:
    """Layouts that differ in their counts, ZeRO stage and recomputation, and in nothing else. Arrays are [layouts].

    The columns are those of Layout; `recompute` holds places in RECOMPUTES. Rows are taken as they are: whether each
    can be is Layout's and check_layout's to say.
    """

    dp: Integers
    tp: Integers
    pp: Integers
    cp: Integers
    ep: Integers
    interleave: Integers
    zero: Integers
    micro_batch: Integers
    accumulation: Integers
    recompute: Integers
    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW
    offload: Offload = Offload.NONE
    sequence_parallel: bool = True

    def __len__(self) -> int:
        """Return how many layouts there are."""
        return len(self.dp)

    @staticmethod
    def of(layouts: Sequence[Layout]) -> "LayoutTable":
        """Return layouts as a table. Raises BadInputError where there are none, or they differ in what must be one."""
        fixed = {tuple(getattr(layout, name) for name in _FIXED) for layout in layouts}
        if len(fixed) != 1:
            raise BadInputError(f"{len(layouts)} layouts: a table needs some, all with the same {', '.join(_FIXED)}")
        columns: dict[str, Any] = dict(zip(_FIXED, fixed.pop(), strict=True))
        for name in _COUNTS:
            columns[name] = np.array([getattr(layout, name) for layout in layouts], dtype=np.int64)
        codes = np.array([RECOMPUTES.index(layout.recompute) for layout in layouts], dtype=np.int64)
        return LayoutTable(**columns, recompute=codes)

    def row(self, at: int) -> Layout:
        """Return one layout. Raises BadInputError where it cannot be."""
        counts = {name: int(getattr(self, name)[at]) for name in _COUNTS}
        return Layout(
            **counts,
            recompute=RECOMPUTES[int(self.recompute[at])],
            precision=self.precision,
            optimizer=self.optimizer,
            offload=self.offload,
            sequence_parallel=self.sequence_parallel,
        )

    def take(self, rows: Integers) -> "LayoutTable":
        """Return some of the layouts, in the order of `rows`."""
        taken: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in (*_COUNTS, "recompute"):
            taken[name] = taken[name][rows]
        return LayoutTable(**taken)

    def recomputes(self, what: Recompute) -> Mask:
        """Return which layouts recompute exactly `what`."""
        return np.asarray(self.recompute == RECOMPUTES.index(what))

    @property
    def shards(self) -> Integers:
        """Ranks over which ZeRO cuts."""
        return self.dp * self.cp

    @property
    def devices(self) -> Integers:
        """How many devices each takes."""
        return self.dp * self.tp * self.pp * self.cp

    def pipelines(self) -> Iterator[tuple[int, int, Integers]]:
        """Yield each (pp, interleave) with its rows: what decides which layers are on which stage."""
        order = np.lexsort((self.interleave, self.pp))
        pp, interleave = self.pp[order], self.interleave[order]
        borders = np.flatnonzero((np.diff(pp) != 0) | (np.diff(interleave) != 0)) + 1
        for rows in np.split(order, borders):
            if len(rows):
                yield int(self.pp[rows[0]]), int(self.interleave[rows[0]]), rows
