"""Whether a layout fits, by how much, and the smallest change after which one that does not would."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from planner.errors import BadInputError
from planner.hardware import Accelerator
from planner.layout import Layout, Offload, Optimizer, Recompute, Shape, check_layout
from planner.memory import Assumptions, MemoryEstimate, estimate_memory
from planner.memory_profile import MemoryProfile

Profiles = Callable[[int], MemoryProfile]
"""Gives the memory profile of a micro-batch of that many samples."""

_MOST_CHANGES = 4
_MOST_TRIED = 2_000
_MOST_SIZES, _MOST_DIVISOR = 32, 100_000
"""Of micro-batches that are tried for one layout, and of the divisors that are looked for among its samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One layout on one accelerator."""

    layout: Layout
    estimate: MemoryEstimate
    capacity_bytes: int

    @property
    def fits(self) -> bool:
        """Whether it fits, with the margin in the estimate."""
        return self.estimate.total_bytes <= self.capacity_bytes

    @property
    def left_bytes(self) -> float:
        """What is left; negative: what is missing."""
        return self.capacity_bytes - self.estimate.total_bytes


@dataclass(frozen=True, slots=True)
class Nearest:
    """The layout that fits after the fewest changes, and the changes in words."""

    verdict: Verdict
    changes: tuple[str, ...]


def verdict(
    profiles: Profiles, layout: Layout, accelerator: Accelerator, assumptions: Assumptions | None = None
) -> Verdict:
    """Return whether `layout` fits into the memory of `accelerator`."""
    estimate = estimate_memory(profiles(layout.micro_batch), layout, assumptions)
    return Verdict(layout=layout, estimate=estimate, capacity_bytes=accelerator.memory_bytes)


def nearest_fit(
    profiles: Profiles, layout: Layout, shape: Shape, accelerator: Accelerator, assumptions: Assumptions | None = None
) -> Nearest | None:
    """Return the nearest layout that fits: on as many devices, with the same global batch. None: none was found.

    Searched breadth-first, so that it has the fewest changes; among as many, those come first that cost least speed: a
    smaller micro-batch, more ZeRO, recomputation, then other parallel dimensions, 8-bit moments and offloading.
    """
    seen = {layout}
    level: list[tuple[Layout, tuple[str, ...]]] = [(layout, ())]
    for _ in range(_MOST_CHANGES):
        following: list[tuple[Layout, tuple[str, ...]]] = []
        for known, changes in level:
            for changed, what in _changes(known):
                if changed in seen or len(seen) > _MOST_TRIED or not _can_be(changed, shape):
                    continue
                seen.add(changed)
                found = verdict(profiles, changed, accelerator, assumptions)
                if found.fits:
                    return Nearest(found, (*changes, what))
                following.append((changed, (*changes, what)))
        level = following
    return None


def _can_be(layout: Layout, shape: Shape) -> bool:
    try:
        check_layout(layout, shape)
    except BadInputError:
        return False
    return True


def _changes(layout: Layout) -> Iterator[tuple[Layout, str]]:
    """Yield every layout that is one change away, cheapest first."""
    for changes, what in _wanted(layout):
        try:
            yield layout.changed(**changes), what
        except BadInputError:
            continue


def _wanted(layout: Layout) -> Iterator[tuple[dict[str, object], str]]:
    samples = layout.micro_batch * layout.accumulation
    for size in _smaller(layout.micro_batch, samples):
        yield {"micro_batch": size, "accumulation": samples // size}, f"micro-batch {size}"
    if layout.shards > 1:
        for stage in range(layout.zero + 1, 4):
            yield {"zero": stage}, f"ZeRO stage {stage}"
    if layout.recompute is Recompute.NONE:
        yield {"recompute": Recompute.SELECTIVE}, "recompute attention"
    if layout.recompute is not Recompute.FULL:
        yield {"recompute": Recompute.FULL}, "recompute layers"
    yield from _wanted_dimensions(layout)
    if layout.optimizer is Optimizer.ADAMW:
        yield {"optimizer": Optimizer.ADAMW_8BIT}, "8-bit moments"
    if layout.offload is Offload.NONE and layout.zero:
        yield {"offload": Offload.OPTIMIZER}, "optimizer in the host's memory"
    if layout.offload is not Offload.PARAMETERS and layout.zero == 3:
        yield {"offload": Offload.PARAMETERS}, "weights and optimizer in the host's memory"


@lru_cache(maxsize=1024)
def _smaller(micro_batch: int, samples: int) -> tuple[int, ...]:
    """Return sizes below `micro_batch` that divide `samples`, largest first: all, or some spread over them, with 1."""
    low = [at for at in range(1, min(math.isqrt(samples), _MOST_DIVISOR) + 1) if samples % at == 0]
    sizes = sorted({size for at in low for size in (at, samples // at) if size < micro_batch}, reverse=True)
    if len(sizes) <= _MOST_SIZES:
        return tuple(sizes)
    return tuple(sizes[round(at * (len(sizes) - 1) / (_MOST_SIZES - 1))] for at in range(_MOST_SIZES))


def _wanted_dimensions(layout: Layout) -> Iterator[tuple[dict[str, object], str]]:
    for name, words in (("tp", "tensor parallelism"), ("pp", "pipeline stages"), ("cp", "context parallelism")):
        if layout.dp % 2 == 0:
            more = 2 * getattr(layout, name)
            kept = {"dp": layout.dp // 2, "accumulation": 2 * layout.accumulation}
            yield {**kept, name: more}, f"{more} of {words}"
    if layout.ep * 2 <= layout.shards:
        yield {"ep": layout.ep * 2}, f"experts over {layout.ep * 2}"
