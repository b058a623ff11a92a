"""Memory of one rank, part by part, at the moment of the step when it is highest.

States after Rajbhandari et al. 2020 (ZeRO, arXiv:1910.02054, section 3 and figure 1) with DeepSpeed's buffers;
activations by operation, as autograd keeps them; pipelines after Korthikanti et al. 2022 (arXiv:2205.05198, section
4.2.3). Everything is computed over a table of layouts; one layout is a table of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from planner.layout import Layout
from planner.layout_table import Integers, LayoutTable
from planner.memory_assumptions import PLAIN, Assumptions, Update
from planner.memory_profile import MemoryProfile
from planner.memory_stage import COLUMNS, Moment, Stage, stage_load
from planner.pipeline_stages import Array, distinct_rows

__all__ = [
    "PLAIN", "Assumptions", "MemoryEstimate", "MemoryTable", "Moment", "Update", "estimate_memory", "memory_of_layouts",
]  # fmt: skip

_MOMENTS = tuple(Moment)
_PARTS = ("weight", "gradient", "master", "moment", "activation", "working", "logit", "buffer", "margin")
"""In the order of the waterfall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes of the most loaded rank at its highest moment. The parts add up to `total_bytes`."""

    weight_bytes: float
    gradient_bytes: float
    master_bytes: float
    moment_bytes: float
    activation_bytes: float
    """Kept from forward to backward, of all micro-batches in flight."""
    working_bytes: float
    """Of the layer whose turn it is: its gradients, what is computed again; of the update: its copies."""
    logit_bytes: float
    buffer_bytes: float
    """Reduction buckets and gathered weights."""
    margin_bytes: float
    """Reserved by the driver and lost to fragmentation: stated, not computed."""
    moment: Moment
    stage: int
    """The pipeline stage that needs most."""
    host_bytes: float = 0.0
    """What was offloaded, in the host's memory, per rank."""
    parts: tuple[tuple[str, float], ...] = field(init=False)
    total_bytes: float = field(init=False)

    def __post_init__(self) -> None:
        """Name the parts, in the order of the waterfall."""
        parts = tuple((f"{name}s", float(getattr(self, f"{name}_bytes"))) for name in _PARTS)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "total_bytes", sum(value for _, value in parts))


@dataclass(frozen=True, slots=True, eq=False)
class MemoryTable:
    """The estimates of many layouts, as columns."""

    parts: Array
    """[parts, layouts], bytes in the order of MemoryEstimate.parts."""
    total_bytes: Array
    """[layouts], as the next ones."""
    moment: Integers
    """Places in Moment."""
    stage: Integers
    host_bytes: Array

    @staticmethod
    def empty(layouts: int) -> "MemoryTable":
        """Return a table to be filled, below every estimate."""
        zeros = np.zeros(layouts, dtype=np.int64)
        return MemoryTable(
            np.zeros((len(_PARTS), layouts)), np.full(layouts, -1.0), zeros, zeros.copy(), np.zeros(layouts)
        )

    def row(self, at: int) -> MemoryEstimate:
        """Return the estimate of one layout."""
        parts = {f"{name}_bytes": float(value) for name, value in zip(_PARTS, self.parts[:, at], strict=True)}
        moment, host_bytes = _MOMENTS[int(self.moment[at])], float(self.host_bytes[at])
        return MemoryEstimate(**parts, moment=moment, stage=int(self.stage[at]), host_bytes=host_bytes)


def estimate_memory(
    profile: MemoryProfile, layout: Layout, assumptions: Assumptions | None = None
) -> MemoryEstimate:
    """Return the memory of the most loaded rank.

    Args:
        profile: of one micro-batch of `layout.micro_batch` samples, uncut.
        layout: checked against the architecture by `check_layout`.
        assumptions: None: Assumptions().
    """
    return memory_of_layouts({layout.micro_batch: profile}, LayoutTable.of([layout]), assumptions).row(0)


def memory_of_layouts(
    profiles: Mapping[int, MemoryProfile], layouts: LayoutTable, assumptions: Assumptions | None = None
) -> MemoryTable:
    """Return the memory of the most loaded rank of each layout: the very numbers of `estimate_memory`.

    Args:
        profiles: of one architecture, by the samples of a micro-batch: one for each that the layouts have.
        layouts: checked against the architecture.
        assumptions: None: Assumptions().
    """
    given = assumptions or Assumptions()
    rows = distinct_rows(profiles, COLUMNS)
    found = MemoryTable.empty(len(layouts))
    for pp, interleave, at in layouts.pipelines():
        chosen = layouts.take(at)
        stages = rows.stages(pp, interleave)
        # Of stages with equal layers the first has most in flight; the logits lie on the last.
        first = {runs: number for number, runs in reversed(list(enumerate(stages)))}
        for number in sorted({*first.values(), pp - 1}):
            _raise_to(found, at, Stage.of(rows, stages[number], number, chosen), given)
    return found


def _raise_to(found: MemoryTable, at: Integers, stage: Stage, given: Assumptions) -> None:
    """Put the stage's estimates where they are above what the table has at the rows `at`."""
    load = stage_load(stage, given)
    known = sum(load.parts[1:], start=load.parts[0])
    parts = np.array([*np.broadcast_arrays(*load.parts), given.reserved_bytes + given.fragmentation * known])
    total = np.zeros(len(at))
    for part in parts:  # one after the other, as MemoryEstimate adds them: the same bits
        total = total + part
    above = total > found.total_bytes[at]
    rows = at[above]
    found.parts[:, rows] = parts[:, above]
    found.total_bytes[rows] = total[above]
    found.moment[rows] = load.moment[above]
    found.stage[rows] = stage.number
    found.host_bytes[rows] = load.host_bytes[above]
