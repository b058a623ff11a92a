"""Reading a committed checkpoint: any interval of any tensor, every byte checked before it is used."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpoint.commits import CommitInfo, CommitView, load_commit
from checkpoint.dtypes import dtype_name, numpy_name
from checkpoint.errors import CheckpointError, DamagedError, IncompleteError, ObjectMissing
from checkpoint.manifest import content_hash
from checkpoint.read_plan import ChunkRead, RangeRead, SavedTensor, Sink, Wanted, index_tensors, plan_reads
from checkpoint.state import MASTER, Json, Slice
from checkpoint.store import Store

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

_IN_FLIGHT = 4
"""Requests at a time; each holds at most one chunk of 64 MiB, and a second one while it is copied."""


class CommitSource:
    """A committed checkpoint as a SliceSource: fills slices of any world size and any sharding.

    Rank-local: no collective; every rank opens its own. Opening reads the commit and all rank manifests.
    """

    def __init__(self, store: Store, commit: CommitInfo | CommitView) -> None:
        """Open `commit`. Raises DamagedError, FormatError, StoreError."""
        self._store = store
        self.view = commit if isinstance(commit, CommitView) else load_commit(store, commit)
        self.step = self.view.step
        self._tensors = index_tensors(self.view.manifests)

    def fill(self, slices: Iterable[Slice]) -> int:
        """Copy the saved bytes into every slice's view. Return the bytes read.

        Blocking; about eight chunks (512 MiB) of memory at most. Raises DamagedError when a chunk does not
        match its hash, IncompleteError when an interval was not saved or saved in another form, StoreError.
        After a DamagedError or StoreError some views hold the checkpoint and some what they held: fill from
        another source before going on.
        """
        wanted = [
            Wanted(s.name, s.kind, s.start, s.stop, _sink(s), dtype_name(s.view.dtype), tuple(s.shape))
            for s in slices
            if s.stop > s.start
        ]
        return self.read(wanted)

    def scalars(self) -> dict[str, Json]:
        """Return the engine scalars that rank 0 saved."""
        return dict(self.view.manifests[0].scalars)

    def extra(self) -> dict[str, Json]:
        """Return what the caller of rank 0 stored beside the state."""
        return dict(self.view.manifests[0].extra)

    def tensors(self) -> Mapping[tuple[str, str], SavedTensor]:
        """Return all saved tensors by (name, kind): type, global shape, size."""
        return self._tensors

    def read(self, wanted: Iterable[Wanted]) -> int:
        """Read the wanted intervals into their sinks, which several threads call. Return the bytes read."""
        return read_all(self._store, plan_reads(self._tensors, wanted))

    def read_bytes(self, name: str, kind: str = MASTER) -> bytearray:
        """Return the bytes of one whole tensor, row-major. Raises IncompleteError when it is not there."""
        tensor = self._tensor(name, kind)
        data = bytearray(tensor.size_bytes)
        target = memoryview(data)

        def sink(offset: int, part: memoryview) -> None:
            target[offset : offset + part.nbytes] = part

        self.read([Wanted(name, kind, 0, tensor.num_elements, sink)])
        return data

    def read_array(self, name: str, kind: str = MASTER) -> "npt.NDArray[Any]":
        """Return one whole tensor in its global shape. Raises CheckpointError for types that numpy lacks."""
        tensor = self._tensor(name, kind)
        dtype = numpy_name(tensor.dtype)
        return np.frombuffer(self.read_bytes(name, kind), dtype=dtype).reshape(tensor.shape)

    def _tensor(self, name: str, kind: str) -> SavedTensor:
        if (name, kind) not in self._tensors:
            raise IncompleteError(f"{name} ({kind}): not in the checkpoint of step {self.step}")
        return self._tensors[name, kind]


def read_all(store: Store, reads: Sequence[RangeRead]) -> int:
    """Fetch, check and hand out `reads`, several at a time. Return the bytes fetched.

    Raises the first DamagedError or StoreError; requests not yet begun are dropped.
    """
    with ThreadPoolExecutor(_IN_FLIGHT, "read") as pool:
        futures = [pool.submit(read_range, store, read) for read in reads]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return sum(read.stop - read.start for read in reads)


def fetch_chunk(store: Store, chunk: ChunkRead) -> memoryview:
    """Return one chunk, checked. Raises DamagedError when its object is gone or short, or does not match."""
    try:
        data = store.get_ranges(chunk.key, [(chunk.offset, chunk.offset + chunk.size_bytes)])[0]
    except ObjectMissing as error:
        raise DamagedError(f"{store.url}: {chunk.describe()}: the object is gone") from error
    if data.nbytes != chunk.size_bytes:
        raise DamagedError(
            f"{store.url}: {chunk.describe()}: the object ends after {data.nbytes}, not {chunk.size_bytes}"
        )
    if content_hash(data) != chunk.xxh3:
        raise DamagedError(f"{store.url}: {chunk.describe()}: does not match its xxh3-128 {chunk.xxh3}")
    return data


def read_range(store: Store, read: RangeRead) -> None:
    """Fetch one range, check its chunks, hand out what is wanted. Raises DamagedError, StoreError."""
    data = memoryview(b"")
    # An object that is gone is reported chunk by chunk below, with the names of what it held.
    with contextlib.suppress(ObjectMissing):
        data = store.get_ranges(read.key, [(read.start, read.stop)])[0]
    for chunk in read.chunks:
        first = chunk.offset - read.start
        part = data[first : first + chunk.size_bytes]
        if part.nbytes != chunk.size_bytes or content_hash(part) != chunk.xxh3:
            # Once more by itself: damage on the way, unlike damage at rest, does not come twice.
            part = fetch_chunk(store, chunk)
        for copy in chunk.copies:
            copy.sink(copy.target, part[copy.source : copy.source + copy.size_bytes])


def _sink(item: Slice) -> Sink:
    """Return what writes bytes into the slice's view, on whatever device it lies."""
    import torch  # noqa: PLC0415 - the keeper and the command line read without torch

    view = item.view.detach()
    if view.dim() != 1 or not view.is_contiguous() or view.numel() != item.stop - item.start:
        raise CheckpointError(
            f"{item.name} ({item.kind}): view of shape {tuple(view.shape)}: must be 1-D, contiguous, hold "
            f"the elements [{item.start}, {item.stop})"
        )
    raw = view.view(torch.uint8)
    if raw.device.type == "cpu":
        return _cpu_sink(raw)

    def sink(offset: int, part: memoryview) -> None:
        # The copy makes the bytes writable, which torch asks of memory that it shares.
        raw[offset : offset + part.nbytes].copy_(torch.frombuffer(bytearray(part), dtype=torch.uint8))

    return sink


def _cpu_sink(raw: "torch.Tensor") -> Sink:
    target = raw.numpy()

    def sink(offset: int, part: memoryview) -> None:
        # numpy copies without the interpreter's lock, a memoryview's assignment does not.
        np.copyto(target[offset : offset + part.nbytes], np.frombuffer(part, dtype=np.uint8))

    return sink
