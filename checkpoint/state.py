"""The vocabulary of state: named flat slices, and what an adapter answers about a training engine.

A model's state is a set of named tensors. Whatever the sharding, a rank holds of each tensor a flat interval
`[start, stop)` (row-major order of the global shape). Saving enumerates those intervals without any gather or
copy; loading is interval intersection, so that every layout loads every other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MASTER = "fp32"
"""Kind of the fp32 master weights. Optimizer state has its torch name as kind: `exp_avg`, `exp_avg_sq`, …"""
FROZEN = "frozen"
"""Kind of weights that no optimizer owns; saved in their own dtype."""
BUFFER = "buffer"
"""Kind of module buffers; saved in their own dtype."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The flat interval `[start, stop)` of one named tensor, and a view of it in live memory.

    `view` is 1-D, contiguous, has `stop - start` elements and aliases the engine's own storage: reading it
    reads the current state, writing it changes it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int
    view: "torch.Tensor"


class StateAdapter(Protocol):
    """What Checkpointer asks an engine. One per way of sharding; never moves or copies tensors."""

    def owned(self) -> Sequence[Slice]:
        """Return what this rank saves. Over all ranks each element of each tensor occurs exactly once.

        Rank-local: no collective. Optimizer state exists after this call even before the first step.
        The list (names, kinds, intervals, addresses) does not change between calls while the engine lives.
        """
        ...

    def wanted(self) -> Sequence[Slice]:
        """Return what this rank fills when loading: `owned()` and whole frozen weights and buffers."""
        ...

    def scalars(self) -> dict[str, Json]:
        """Return what is not a tensor slice: optimizer step counts, group settings, loss scale, counters."""
        ...

    def load_scalars(self, scalars: Mapping[str, Json]) -> None:
        """Put back what `scalars` returned, possibly from another world size or ZeRO stage."""
        ...

    def finish_load(self) -> None:
        """Rebuild derived data (low-precision weights, persistent parameters) after the views were filled.

        Called by every rank; collective and blocking. Afterwards the next step is as if never interrupted.
        """
        ...


class SliceSource(Protocol):
    """One complete snapshot of all ranks, readable by interval: a node's sealed slots, or a commit."""

    step: int

    def fill(self, slices: Iterable[Slice]) -> int:
        """Copy the saved bytes into every slice's view; verified. Return the bytes read.

        Raises DamagedError when a checksum does not match, IncompleteError when an interval is not covered.
        """
        ...

    def scalars(self) -> dict[str, Json]:
        """Return the saved engine scalars."""
        ...

    def extra(self) -> dict[str, Json]:
        """Return what the caller stored beside the state."""
        ...
