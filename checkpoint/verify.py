"""Reading every byte of a checkpoint to find out whether it is whole."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from checkpoint.commits import CommitInfo, CommitView, load_commit
from checkpoint.errors import DamagedError
from checkpoint.read_plan import ChunkRead, RangeRead, coalesce, index_tensors
from checkpoint.reader import fetch_chunk, read_range
from checkpoint.store import Store

_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_commit` found. `damaged` names each damaged chunk or object: name, kind, interval, key."""

    step: int
    num_objects: int
    num_chunks: int
    size_bytes: int
    seconds: float
    damaged: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every byte is there and matches its hash."""
        return not self.damaged


def verify_commit(store: Store, commit: CommitInfo | CommitView) -> VerifyReport:
    """Read and check every chunk of a checkpoint; changes nothing.

    Damage is reported, not raised; a commit or rank manifest that cannot be read is one damage. Raises
    StoreError when the store does not answer, FormatError for another version's checkpoint.
    """
    begin = time.monotonic()
    try:
        view = commit if isinstance(commit, CommitView) else load_commit(store, commit)
    except DamagedError as error:
        return VerifyReport(commit.step, 0, 0, 0, time.monotonic() - begin, (str(error),))
    unique = {
        (chunk.key, chunk.offset): chunk
        for tensor in index_tensors(view.manifests).values()
        for chunk in tensor.chunks
    }
    chunks = list(unique.values())
    with ThreadPoolExecutor(_IN_FLIGHT, "verify") as pool:
        found = pool.map(lambda read: _damage(store, read), coalesce(chunks))
        damaged = tuple(damage for damages in found for damage in damages)
    return VerifyReport(
        step=view.step,
        num_objects=len({chunk.key for chunk in chunks}),
        num_chunks=len(chunks),
        size_bytes=sum(chunk.size_bytes for chunk in chunks),
        seconds=time.monotonic() - begin,
        damaged=damaged,
    )


def _damage(store: Store, read: RangeRead) -> list[str]:
    """Read a range; when something in it is damaged, look at its chunks one by one."""
    try:
        read_range(store, read)
    except DamagedError:
        return [damage for chunk in read.chunks if (damage := _chunk_damage(store, chunk))]
    return []


def _chunk_damage(store: Store, chunk: ChunkRead) -> str | None:
    try:
        fetch_chunk(store, chunk)
    except DamagedError as error:
        return str(error)
    return None
