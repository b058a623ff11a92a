"""Copying an engine's state into a slot: the only part of a checkpoint that the training thread pays for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from checkpoint.arena import SLOTS, Arena, Layout, Seal
from checkpoint.dtypes import dtype_name
from checkpoint.errors import ArenaError
from checkpoint.manifest import Entry
from checkpoint.state import FROZEN, Json, Slice, StateAdapter

_ALIGNMENT = 64
"""Bytes; where a run of neighbours begins. Inside a run nothing is aligned, so that it stays one copy."""


@dataclass(frozen=True, eq=False)
class _Run:
    """Neighbours both in the engine's memory and in the slot: one memcpy of `source` to byte `offset`."""

    source: torch.Tensor
    offset: int


def plan_layout(slices: Sequence[Slice], *, rank: int, world_size: int, fence: int, generation: int) -> Layout:
    """Return a layout for `slices`: in the order of their addresses, so that neighbours stay neighbours.

    Frozen weights come last: they lie together, and only they are likely to be unchanged.
    """
    ordered = sorted(slices, key=lambda s: (s.kind == FROZEN, str(s.view.device), s.view.data_ptr()))
    entries, offsets, end = [], [], 0
    for index, piece in enumerate(ordered):
        if index == 0 or not _adjacent(ordered[index - 1].view, piece.view):
            end = -(-end // _ALIGNMENT) * _ALIGNMENT
        entries.append(_entry(piece))
        offsets.append(end)
        end += piece.view.nbytes
    return Layout(rank, world_size, fence, generation, tuple(entries), tuple(offsets))


def _entry(piece: Slice) -> Entry:
    return Entry(piece.name, piece.kind, dtype_name(piece.view.dtype), piece.shape, piece.start, piece.stop)


def _adjacent(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Tell whether `second` begins where `first` ends, in the same storage."""
    return (
        first.dtype == second.dtype
        and first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
        and first.storage_offset() + first.numel() == second.storage_offset()
    )


class Snapshotter:
    """Copies what `adapter` owns into slots of `arena`. Used by the training thread alone; blocking."""

    def __init__(self, adapter: StateAdapter, arena: Arena, *, hash_data: bool = False) -> None:
        self._adapter = adapter
        self._arena = arena
        self._hash_data = hash_data
        self._slices: Sequence[Slice] | None = None
        self._runs: list[_Run] = []
        self._targets: dict[int, list[torch.Tensor]] = {}
        self._on_device = False

    def take(self, step: int, extra: Mapping[str, Json]) -> Seal:
        """Copy the state after `step` into a free slot and seal it.

        Blocks for one memcpy of the rank's state. Raises ArenaError when the state's form has changed, or shared
        memory is used up; AdapterError inside a gradient accumulation. Older snapshots stay whole in any case.
        """
        meta: dict[str, Json] = {"scalars": self._adapter.scalars(), "extra": dict(extra)}
        slices = self._adapter.owned()
        if slices is not self._slices:
            self._plan(slices)
        slot = self._arena.free_slot()
        data = self._arena.begin(slot)
        for run, target in zip(self._runs, self._slot_targets(slot, data), strict=True):
            target.copy_(run.source, non_blocking=self._on_device)
        if self._on_device:
            torch.accelerator.synchronize()
        return self._arena.seal(slot, step, meta, hash_data=self._hash_data)

    def _plan(self, slices: Sequence[Slice]) -> None:
        """Find the copies to make; again whenever one of the engine's tensors was replaced."""
        layout = self._arena.layout
        found = {_entry(piece): piece for piece in slices}
        if set(found) != set(layout.entries):
            changed = sorted({entry.name for entry in set(found) ^ set(layout.entries)})
            raise ArenaError(
                f"{self._arena.path}: the state's form has changed since the arena was laid out (first at "
                f"{changed[0]}): make a new Checkpointer, with a higher generation"
            )
        ordered = [found[entry] for entry in layout.entries]
        self._runs = []
        begin = 0
        for index in range(1, len(ordered) + 1):
            if index < len(ordered) and self._continues(ordered, index):
                continue
            self._runs.append(_Run(_joined([piece.view for piece in ordered[begin:index]]), layout.offsets[begin]))
            begin = index
        self._targets = {}
        self._on_device = any(run.source.device.type != "cpu" for run in self._runs)
        self._slices = slices

    def _continues(self, ordered: Sequence[Slice], index: int) -> bool:
        layout = self._arena.layout
        together = layout.offsets[index] == layout.offsets[index - 1] + layout.entries[index - 1].size_bytes
        return together and _adjacent(ordered[index - 1].view, ordered[index].view)

    def _slot_targets(self, slot: int, data: memoryview) -> list[torch.Tensor]:
        if slot not in self._targets:
            assert 0 <= slot < SLOTS
            self._targets[slot] = [
                torch.frombuffer(data, dtype=run.source.dtype, count=run.source.numel(), offset=run.offset)
                for run in self._runs
            ]
        return self._targets[slot]


def _joined(views: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return one view over neighbouring views."""
    if len(views) == 1:
        return views[0]
    return views[0].as_strided((sum(view.numel() for view in views),), (1,))
