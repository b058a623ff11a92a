"""Making a snapshot durable: ranks write segments and manifests, one conditional put commits."""

import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from checkpoint import layout
from checkpoint.commits import CommitView, is_quarantined, object_sizes
from checkpoint.errors import (
    CheckpointError,
    DamagedError,
    FencedError,
    IncompleteError,
    StoreError,
    StoreUnavailable,
)
from checkpoint.fence import check_fence
from checkpoint.json_fields import check_json
from checkpoint.manifest import (
    Chunk,
    Commit,
    DataObject,
    Entry,
    RankManifest,
    RankReference,
    check_complete,
    content_hash,
    decode_commit,
    decode_rank,
    encode_commit,
    encode_rank,
)
from checkpoint.segment import CHUNK_ALIGNMENT, MAX_CHUNK_BYTES, Piece, cut, group, lay_out, stream
from checkpoint.state import BUFFER, FROZEN, Json
from checkpoint.store import Store

_CONCURRENT_READS = 8
_MAX_REPLACEMENTS = 100


@dataclass(frozen=True, slots=True)
class RankState:
    """One rank's snapshot: `buffers[i]` holds the bytes of `entries[i]`, unchanged while it is written.

    `scalars` is what the engine's adapter returned, `extra` what the caller stores beside the state.
    """

    step: int
    rank: int
    world_size: int
    fence: int
    entries: tuple[Entry, ...]
    buffers: Sequence[memoryview]
    scalars: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankReceipt:
    """What `write_rank` made durable. An earlier checkpoint already held the `referenced_bytes`."""

    step: int
    rank: int
    manifest_key: str
    written_bytes: int
    referenced_bytes: int
    num_objects: int


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    """A durable step. `created` is False when it had been committed before, by us or an earlier attempt."""

    key: str
    commit: Commit
    created: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where one piece lies: in `key`, of `object_bytes`, from byte `offset`."""

    key: str
    object_bytes: int
    offset: int
    xxh3: str


def write_rank(
    store: Store, state: RankState, *, segment_bytes: int, parent: CommitView | None = None
) -> RankReceipt:
    """Write one rank's segments and then its manifest; durable on return, but no checkpoint yet.

    Called by the keeper of each rank, in any order, without coordination; blocking. Frozen weights and
    buffers that `parent` (the newest usable commit) holds unchanged are referenced, not written. May be
    repeated after an error: what the earlier try left is garbage for the sweep. Raises CheckpointError when
    the state contradicts itself, FencedError when this fence already saved other tensors for this rank and
    step, StoreError.
    """
    _check_state(state)
    pieces = _cut_all(state, segment_bytes)
    stored = _find_unchanged(state, pieces, parent)
    fresh = [index for index in range(len(pieces)) if index not in stored]
    referenced_bytes = sum(pieces[index].data.nbytes for index in stored)
    stored |= _write_segments(store, state, {index: pieces[index] for index in fresh}, segment_bytes)
    manifest = _manifest(state, pieces, [stored[index] for index in range(len(pieces))])
    key = layout.part_key(state.step, state.fence, state.rank, state.world_size)
    if not store.put_if_absent(key, encode_rank(manifest)):
        _check_same(store, key, manifest)
    return RankReceipt(
        step=state.step,
        rank=state.rank,
        manifest_key=key,
        written_bytes=sum(pieces[index].data.nbytes for index in fresh),
        referenced_bytes=referenced_bytes,
        num_objects=len(manifest.objects),
    )


def commit_when_complete(store: Store, step: int, fence: int, world_size: int) -> CommitOutcome | None:
    """Commit `step` if all `world_size` rank manifests are there; return None while some are missing.

    Any number of keepers may call it at any time; one conditional put decides. Blocking, a few requests. On
    return with an outcome the checkpoint of this step is durable and complete: every element of every tensor
    is held once, and every object exists with its size. Raises FencedError when a newer attempt owns the run,
    IncompleteError or DamagedError when what the ranks wrote is no whole checkpoint, StoreError.
    """
    keys = {layout.part_rank(found.key): found.key for found in store.list(layout.parts_prefix(step, fence))}
    if any((rank, world_size) not in keys for rank in range(world_size)):
        return None
    loaded = _load_parts(store, [keys[rank, world_size] for rank in range(world_size)])
    manifests = [manifest for _, manifest in loaded]
    check_complete(manifests)
    _check_objects(store, object_sizes(manifests))
    commit = Commit(
        step=step,
        fence=fence,
        world_size=world_size,
        ranks=tuple(reference for reference, _ in loaded),
        parents=_parents(step, manifests),
        time_s=time.time(),
    )
    check_fence(store, fence)
    return _put_commit(store, commit)


def _check_state(state: RankState) -> None:
    where = f"state of step {state.step}, rank {state.rank}"
    if not 0 <= state.rank < state.world_size or not 0 <= state.step <= layout.MAX_STEP or state.fence < 0:
        raise CheckpointError(
            f"{where}: of {state.world_size} ranks, fence {state.fence}: numbers out of range"
        )
    if len(state.entries) != len(state.buffers):
        raise CheckpointError(f"{where}: {len(state.entries)} entries and {len(state.buffers)} buffers")
    for entry, buffer in zip(state.entries, state.buffers, strict=True):
        if buffer.nbytes != entry.size_bytes:
            raise CheckpointError(
                f"{where}: {entry.name} ({entry.kind}): {buffer.nbytes} bytes for {entry.dtype} elements "
                f"[{entry.start}, {entry.stop}), expected {entry.size_bytes}"
            )
    intervals = {(entry.name, entry.kind, entry.start) for entry in state.entries}
    if len(intervals) != len(state.entries):
        raise CheckpointError(f"{where}: the same name, kind and start occurs twice")
    check_json(dict(state.scalars), "scalars")
    check_json(dict(state.extra), "extra")


def _cut_all(state: RankState, segment_bytes: int) -> list[Piece]:
    max_bytes = max(CHUNK_ALIGNMENT, min(MAX_CHUNK_BYTES, segment_bytes) // CHUNK_ALIGNMENT * CHUNK_ALIGNMENT)
    pieces: list[Piece] = []
    for number, (entry, buffer) in enumerate(zip(state.entries, state.buffers, strict=True)):
        pieces.extend(cut(number, entry, buffer.cast("B"), max_bytes))
    return pieces


def _find_unchanged(
    state: RankState, pieces: Sequence[Piece], parent: CommitView | None
) -> dict[int, _Stored]:
    """Return where `parent` already holds pieces, by index. Only kinds that stay the same are looked at."""
    if parent is None:
        return {}
    known: dict[tuple[str, str, str, int, int], _Stored] = {}
    for manifest in parent.manifests:
        for chunk in manifest.chunks:
            entry, item = manifest.entries[chunk.entry], manifest.objects[chunk.object]
            if entry.kind in {FROZEN, BUFFER}:
                identity = (entry.name, entry.kind, entry.dtype, chunk.start, chunk.stop)
                known[identity] = _Stored(item.key, item.size_bytes, chunk.offset, chunk.xxh3)
    unchanged = {}
    for index, piece in enumerate(pieces):
        entry = state.entries[piece.entry]
        candidate = known.get((entry.name, entry.kind, entry.dtype, piece.start, piece.stop))
        if candidate is not None and content_hash(piece.data) == candidate.xxh3:
            unchanged[index] = candidate
    return unchanged


def _write_segments(
    store: Store, state: RankState, pieces: Mapping[int, Piece], segment_bytes: int
) -> dict[int, _Stored]:
    """Write `pieces` into as many segments as they need. Return where each lies, by its index."""
    stored: dict[int, _Stored] = {}
    indexes = list(pieces)
    for number, gathered in enumerate(group(list(pieces.values()), segment_bytes)):
        key = layout.segment_key(state.step, state.fence, state.rank, number, uuid.uuid4().hex)
        metadata = {"step": str(state.step), "fence": str(state.fence), "rank": str(state.rank)}
        segment = lay_out(gathered, state.entries, metadata)
        digests: list[str] = []
        store.put_stream(key, stream(segment, gathered, digests))
        for offset, digest in zip(segment.offsets, digests, strict=True):
            stored[indexes[len(stored)]] = _Stored(key, segment.size_bytes, offset, digest)
    return stored


def _manifest(state: RankState, pieces: Sequence[Piece], stored: Sequence[_Stored]) -> RankManifest:
    numbers: dict[str, int] = {}
    objects: list[DataObject] = []
    chunks = []
    for piece, place in zip(pieces, stored, strict=True):
        if place.key not in numbers:
            numbers[place.key] = len(objects)
            objects.append(DataObject(place.key, place.object_bytes))
        chunks.append(
            Chunk(
                entry=piece.entry,
                start=piece.start,
                stop=piece.stop,
                object=numbers[place.key],
                offset=place.offset,
                size_bytes=piece.data.nbytes,
                xxh3=place.xxh3,
            )
        )
    return RankManifest(
        rank=state.rank,
        world_size=state.world_size,
        step=state.step,
        fence=state.fence,
        entries=tuple(state.entries),
        objects=tuple(objects),
        chunks=tuple(chunks),
        scalars=state.scalars,
        extra=state.extra,
    )


def _check_same(store: Store, key: str, manifest: RankManifest) -> None:
    """Accept an existing rank manifest when it holds what we hold: an earlier try of ours got through."""
    if not decode_rank(store.get(key), f"{store.url}/{key}").same_tensors(manifest):
        raise FencedError(
            f"{store.url}/{key}: fence {manifest.fence} has saved other tensors for rank {manifest.rank} at "
            f"step {manifest.step}: claim a new fence whenever workers are started again or set back"
        )


def _load_parts(store: Store, keys: Sequence[str]) -> list[tuple[RankReference, RankManifest]]:
    def load(key: str) -> tuple[RankReference, RankManifest]:
        data = store.get(key)
        return RankReference(key, len(data), content_hash(data)), decode_rank(data, f"{store.url}/{key}")

    with ThreadPoolExecutor(_CONCURRENT_READS, "load-parts") as pool:
        return list(pool.map(load, keys))


def _check_objects(store: Store, expected: Mapping[str, int]) -> None:
    """Check by listing that every data object is there, and whole: the last moment before it is promised."""
    prefixes = {layout.data_prefix(*origin) for key in expected if (origin := layout.data_origin(key))}
    found = {item.key: item.size_bytes for prefix in sorted(prefixes) for item in store.list(prefix)}
    for key, size_bytes in expected.items():
        if key not in found:
            raise IncompleteError(f"{store.url}/{key}: is gone; save the step again without its parent")
        if found[key] != size_bytes:
            raise DamagedError(f"{store.url}/{key}: has {found[key]} bytes, {size_bytes} were written")


def _parents(step: int, manifests: Sequence[RankManifest]) -> tuple[int, ...]:
    origins = {layout.data_origin(key) for key in object_sizes(manifests)}
    return tuple(sorted({origin[0] for origin in origins if origin} - {step}))


def _put_commit(store: Store, commit: Commit) -> CommitOutcome:
    """Create the commit, or find out what stands in its place."""
    data = encode_commit(commit)
    for replacement in range(_MAX_REPLACEMENTS):
        key = layout.commit_key(commit.step, replacement)
        if _create(store, key, data):
            return CommitOutcome(key, commit, created=True)
        if is_quarantined(store, key):
            continue
        existing = decode_commit(store.get(key), f"{store.url}/{key}")
        if existing.fence > commit.fence:
            raise FencedError(
                f"{store.url}/{key}: step {commit.step} was committed under fence {existing.fence}, ours is "
                f"{commit.fence}: another attempt owns the run"
            )
        return CommitOutcome(key, existing, created=False)
    raise StoreError(
        f"{store.url}: step {commit.step} has {_MAX_REPLACEMENTS} damaged commits: look at the store"
    )


def _create(store: Store, key: str, data: bytes) -> bool:
    """Put the commit; when the answer is lost, look whether it arrived."""
    try:
        return store.put_if_absent(key, data)
    except StoreUnavailable:
        if any(found.key == key for found in store.list(key)) and store.get(key) == data:
            return True
        raise
