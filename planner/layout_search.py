"""The fastest layouts that fit, of all there are: every one is computed, none is guessed away.

The search is exhaustive, and exact for the models of memory and time: its answer is that of a loop over the scalar
functions. Layouts of equal time are ordered by memory, then by how plain they are (`_ORDER`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.hardware import Instance
from planner.layout import Shape
from planner.layout_shape import layout_shape
from planner.layout_space import EVERYTHING, LayoutSpace, layouts_in
from planner.layout_table import Integers, LayoutTable
from planner.memory import MemoryTable, memory_of_layouts
from planner.memory_assumptions import Assumptions
from planner.memory_profile import MemoryProfile, memory_profile
from planner.memory_verdict import Verdict
from planner.pipeline_stages import Array
from planner.time_calibration import Calibration
from planner.time_profile import TimeProfile, time_profile
from planner.time_step import StepTime, estimate_step, seconds_of_layouts

_ORDER = ("zero", "recompute", "interleave", "pp", "tp", "cp", "ep", "micro_batch")


@dataclass(frozen=True, slots=True)
class Workload:
    """An architecture at one length of text or size of picture, whose profiles are made once per micro-batch."""

    limits: Shape
    make_memory: Callable[[int], MemoryProfile]
    make_time: Callable[[int], TimeProfile]
    _memory: dict[int, MemoryProfile] = field(default_factory=dict)
    _time: dict[int, TimeProfile] = field(default_factory=dict)

    @staticmethod
    def of(model: Model, shape: BatchShape | None = None) -> "Workload":
        """Return the workload of a model; of `shape`, the samples do not matter. Raises BadInputError."""
        full = model.shape(shape or BatchShape())

        def of_samples(samples: int) -> BatchShape:
            return BatchShape(samples, full.tokens, full.source_tokens, full.image_size)

        return Workload(
            layout_shape(model, of_samples(1)),
            lambda samples: memory_profile(model, of_samples(samples)),
            lambda samples: time_profile(model, of_samples(samples)),
        )

    def memory(self, micro_batch: int) -> MemoryProfile:
        """Return the memory of a micro-batch."""
        if micro_batch not in self._memory:
            self._memory[micro_batch] = self.make_memory(micro_batch)
        return self._memory[micro_batch]

    def time(self, micro_batch: int) -> TimeProfile:
        """Return the work of a micro-batch."""
        if micro_batch not in self._time:
            self._time[micro_batch] = self.make_time(micro_batch)
        return self._time[micro_batch]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One layout, whether it fits, and how long its step takes."""

    verdict: Verdict
    step: StepTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found. Both lists are ordered: the fastest first."""

    looked_at: int
    fitting: int
    best: tuple[Candidate, ...]
    """Those that fit; empty where none does."""
    without_limit: Candidate
    """The fastest of all, if memory had no end."""
    smallest: Candidate
    """The one that needs least memory."""

    @property
    def binding(self) -> str:
        """What holds the best layout back, in words."""
        if not self.best:
            least = self.smallest.verdict
            return f"memory: the smallest layout lacks {-least.left_bytes / 2**30:.1f} GiB ({least.layout.described()})"
        best, free = self.best[0].step, self.without_limit
        name, seconds = max(best.parts, key=lambda part: part[1])
        most = f"{name} takes {seconds / best.total_s:.0%} of the step"
        if free.verdict.fits:
            return f"time: memory is enough for the fastest layout; {most}"
        gain, lacks = 1.0 - free.step.total_s / best.total_s, -free.verdict.left_bytes / 2**30
        return f"memory: with {lacks:.1f} GiB more a step would take {gain:.1%} less; {most}"


def search_layouts(  # noqa: PLR0913 - what is searched, and for whom
    workload: Workload,
    devices: int,
    samples: int,
    instance: Instance,
    calibration: Calibration,
    *,
    space: LayoutSpace = EVERYTHING,
    assumptions: Assumptions | None = None,
    best: int = 5,
) -> Search:
    """Return the `best` fastest layouts on all of `devices` with `samples` in a step that fit into their memory.

    Raises BadInputError where the space holds no layout at all, or the accelerator has no peak in its precision.
    """
    layouts = layouts_in(space, workload.limits, devices, samples)
    sizes = np.unique(layouts.micro_batch).tolist()
    memory = memory_of_layouts({size: workload.memory(size) for size in sizes}, layouts, assumptions)
    seconds = seconds_of_layouts({size: workload.time(size) for size in sizes}, layouts, instance, calibration)
    fits = memory.total_bytes <= instance.accelerator.memory_bytes
    everything = np.arange(len(layouts))

    def candidate(row: int) -> Candidate:
        layout = layouts.row(row)
        verdict = Verdict(
            layout=layout, estimate=memory.row(row), capacity_bytes=instance.accelerator.memory_bytes
        )
        return Candidate(verdict, estimate_step(workload.time(layout.micro_batch), layout, instance, calibration))

    least = everything[memory.total_bytes == memory.total_bytes.min()]
    return Search(
        looked_at=len(layouts),
        fitting=int(fits.sum()),
        best=tuple(candidate(row) for row in _first(best, np.flatnonzero(fits), layouts, memory, seconds)),
        without_limit=candidate(_first(1, everything, layouts, memory, seconds)[0]),
        smallest=candidate(_first(1, least, layouts, memory, seconds)[0]),
    )


def _first(count: int, rows: Integers, layouts: LayoutTable, memory: MemoryTable, seconds: Array) -> list[int]:
    """Return the first of `rows` by time, then memory, then plainness."""
    if not len(rows):
        return []
    if len(rows) > count:
        rows = rows[seconds[rows] <= np.partition(seconds[rows], count - 1)[count - 1]]
    plainness = [getattr(layouts, name)[rows] for name in reversed(_ORDER)]
    order = np.lexsort((*plainness, memory.total_bytes[rows], seconds[rows]))
    found: list[int] = rows[order[:count]].tolist()
    return found
