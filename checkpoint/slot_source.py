"""Reading the newest snapshot of all ranks from the sealed slots of this node."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from checkpoint.arena import Arena, Seal
from checkpoint.arena_sets import ArenaSet, list_sets
from checkpoint.dtypes import dtype_name
from checkpoint.errors import ArenaError, DamagedError, IncompleteError
from checkpoint.read_plan import ChunkRead, RangeRead, SavedTensor, Sink, Wanted, plan_reads
from checkpoint.state import Json, Slice


class SlotSource:
    """One step that is sealed in the arenas of one set on this node, as a SliceSource: for any world size.

    The slots must not be written while it is read: their workers are gone, or are the callers themselves.
    """

    def __init__(self, arenas: Mapping[int, Arena], seals: Mapping[int, Seal]) -> None:
        self._arenas = arenas
        self._seals = seals
        first = next(iter(seals))
        self.step = seals[first].step
        self.fence = arenas[first].layout.fence
        self.generation = arenas[first].layout.generation
        self._tensors = _index(arenas, seals)

    def covers(self, slices: Iterable[Slice]) -> bool:
        """Tell whether this node's slots hold all of `slices`, in the same types and shapes."""
        try:
            self._plan(slices)
        except IncompleteError:
            return False
        return True

    def fill(self, slices: Iterable[Slice]) -> int:
        """Copy the snapshot into every slice's view. Return the bytes copied.

        Raises IncompleteError when this node does not hold all of them, DamagedError when a slot changed meanwhile or
        its hashed data does not match; some views are filled then.
        """
        reads = self._plan(slices)
        ranks = sorted({int(read.key) for read in reads})
        self._check(ranks)
        filled = 0
        for read in reads:
            data = self._arenas[int(read.key)].data(self._seals[int(read.key)].slot)
            for chunk in read.chunks:
                for copy in chunk.copies:
                    start = chunk.offset + copy.source
                    copy.sink(copy.target, data[start : start + copy.size_bytes])
                    filled += copy.size_bytes
        self._check(ranks)
        return filled

    def scalars(self) -> dict[str, Json]:
        """Return the engine scalars of the lowest rank here."""
        return self._meta()["scalars"]

    def extra(self) -> dict[str, Json]:
        """Return what the caller of the lowest rank here stored beside the state."""
        return self._meta()["extra"]

    def close(self) -> None:
        """Unmap the arenas."""
        for arena in self._arenas.values():
            arena.close()

    def _meta(self) -> dict[str, dict[str, Json]]:
        rank = min(self._seals)
        try:
            return self._arenas[rank].meta(self._seals[rank])
        except ArenaError as error:
            raise DamagedError(str(error)) from error

    def _plan(self, slices: Iterable[Slice]) -> list[RangeRead]:
        wanted = [
            Wanted(s.name, s.kind, s.start, s.stop, _sink(s.view), dtype_name(s.view.dtype), s.shape)
            for s in slices
            if s.stop > s.start
        ]
        return plan_reads(self._tensors, wanted)

    def _check(self, ranks: Sequence[int]) -> None:
        for rank in ranks:
            if not self._arenas[rank].intact(self._seals[rank]):
                raise DamagedError(
                    f"{self._arenas[rank].path}: the snapshot of step {self.step} does not match its checksum, or was "
                    "overwritten while it was read"
                )


def slot_sources(folder: Path) -> list[SlotSource]:
    """Return a source for each step that every arena of a set on this node has sealed, newest step first.

    Of equal steps the newest set comes first. The caller closes them.
    """
    sources: list[SlotSource] = []
    for found in list_sets(folder):
        sources.extend(_sources(found))
    return sorted(sources, key=lambda source: (source.step, source.fence, source.generation), reverse=True)


def _sources(found: ArenaSet) -> list[SlotSource]:
    arenas = found.open()
    sealed = {rank: {seal.step: seal for seal in arena.sealed()} for rank, arena in arenas.items()}
    if not sealed:
        return []
    steps = set.intersection(*(set(seals) for seals in sealed.values()))
    return [SlotSource(arenas, {rank: seals[step] for rank, seals in sealed.items()}) for step in steps]


def _index(arenas: Mapping[int, Arena], seals: Mapping[int, Seal]) -> dict[tuple[str, str], SavedTensor]:
    """Describe the slots as saved tensors whose chunks are the ranks' entries, keyed by rank."""
    tensors: dict[tuple[str, str], SavedTensor] = {}
    for rank in seals:
        layout = arenas[rank].layout
        for entry, offset in zip(layout.entries, layout.offsets, strict=True):
            tensor = tensors.setdefault(
                (entry.name, entry.kind), SavedTensor(entry.name, entry.kind, entry.dtype, entry.shape)
            )
            tensor.chunks.append(
                ChunkRead(
                    entry.name, entry.kind, entry.start, entry.stop, str(rank), offset, entry.size_bytes, xxh3=""
                )
            )
    for tensor in tensors.values():
        tensor.chunks.sort(key=lambda chunk: chunk.start)
    return tensors


def _sink(view: torch.Tensor) -> Sink:
    target = view.detach().view(torch.uint8)

    def sink(offset: int, part: memoryview) -> None:
        target[offset : offset + part.nbytes].copy_(torch.frombuffer(part, dtype=torch.uint8))

    return sink
