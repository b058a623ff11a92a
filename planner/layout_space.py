"""Every way to lay an architecture over a number of devices with a global batch, as a table of layouts."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from planner.errors import BadInputError
from planner.layout import Layout, Optimizer, Precision, Recompute, Shape, check_layout
from planner.layout_table import RECOMPUTES, LayoutTable

Sizes = tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSpace:
    """What is looked at. None: everything that the architecture, the devices and the batch allow."""

    tp: Sizes = None
    pp: Sizes = None
    cp: Sizes = None
    ep: Sizes = None
    interleave: Sizes = None
    micro_batch: Sizes = None
    zero: tuple[int, ...] = (0, 1, 2, 3)
    recompute: tuple[Recompute, ...] = RECOMPUTES
    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW
    sequence_parallel: bool = True
    even: bool = False
    """Only pipelines whose groups all have as many layers, as Megatron-LM wants them."""

    def __post_init__(self) -> None:
        """Raise BadInputError for a dimension without a size."""
        empty = [field.name for field in fields(self) if getattr(self, field.name) == ()]
        if empty:
            raise BadInputError(f"layout space: {', '.join(empty)}: there must be something to choose from")


EVERYTHING = LayoutSpace()


def layouts_in(space: LayoutSpace, shape: Shape, devices: int, samples: int) -> LayoutTable:
    """Return the layouts that a space holds of an architecture on all of `devices`, with `samples` in a step.

    Each satisfies Layout and `check_layout`. Raises BadInputError for numbers below 1, and where there is none.
    """
    if devices < 1 or samples < 1:
        raise BadInputError(f"devices = {devices}, samples of a step = {samples}: must be at least 1")
    counts = [row for cut in _cuts(space, shape, devices, samples) for row in _batches(cut, space, shape, samples)]
    if not counts:
        raise BadInputError(
            f"no layout over {devices} devices has {samples} samples in a step: replicas must divide the samples, and "
            f"the model's {shape.layers} layers and {shape.heads or '?'} heads limit the rest; try another number"
        )
    inner = np.array([(zero, RECOMPUTES.index(what)) for zero, what in product(space.zero, space.recompute)])
    columns = np.repeat(np.array(counts, dtype=np.int64), len(inner), axis=0).T
    zero, recompute = np.tile(inner, (len(counts), 1)).T
    names = ("dp", "tp", "pp", "cp", "ep", "micro_batch", "accumulation", "interleave")
    given: dict[str, Any] = dict(zip(names, columns, strict=True))
    return LayoutTable(
        **given, zero=zero, recompute=recompute, precision=space.precision, optimizer=space.optimizer,
        sequence_parallel=space.sequence_parallel,
    )  # fmt: skip


_Cut = tuple[int, int, int, int, int]
"""dp, tp, pp, cp, ep."""


def _cuts(space: LayoutSpace, shape: Shape, devices: int, samples: int) -> Iterator[_Cut]:
    for tp, pp, cp in product(*(_chosen(sizes, _divisors(devices)) for sizes in (space.tp, space.pp, space.cp))):
        dp, rest = divmod(devices, tp * pp * cp)
        if rest or samples % dp or not _can_be(shape, tp, pp, cp):
            continue
        for ep in _chosen(space.ep, _divisors(dp * cp)):
            if (shape.experts or 1) % ep == 0:
                yield dp, tp, pp, cp, ep


def _batches(cut: _Cut, space: LayoutSpace, shape: Shape, samples: int) -> Iterator[tuple[int, ...]]:
    dp, _, pp, *_ = cut
    each = samples // dp
    most = shape.layers // pp if pp > 1 else 1
    for micro_batch in _chosen(space.micro_batch, _divisors(each)):
        accumulation = each // micro_batch
        for interleave in _chosen(space.interleave, tuple(range(1, max(1, most) + 1))):
            is_uneven = shape.layers % (pp * interleave) != 0
            if (interleave == 1 or accumulation % pp == 0) and not (space.even and is_uneven and pp > 1):
                yield *cut, micro_batch, accumulation, interleave


def _can_be(shape: Shape, tp: int, pp: int, cp: int) -> bool:
    try:
        check_layout(Layout(tp=tp, pp=pp, cp=cp), shape)
    except BadInputError:
        return False
    return True


def _chosen(wanted: Sizes, possible: tuple[int, ...]) -> tuple[int, ...]:
    return possible if wanted is None else tuple(size for size in possible if size in wanted)


def _divisors(number: int) -> tuple[int, ...]:
    small = [size for size in range(1, int(number**0.5) + 1) if number % size == 0]
    return tuple(sorted({*small, *(number // size for size in small)}))
