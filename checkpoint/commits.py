"""Finding, reading and condemning commits."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from checkpoint import layout
from checkpoint.errors import DamagedError, ObjectMissing
from checkpoint.manifest import Commit, RankManifest, content_hash, decode_commit, decode_rank
from checkpoint.store import Store

_CONCURRENT_READS = 8


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit as the listing shows it: nothing of it has been read yet.

    `replacement` counts the damaged commits of the same step before it; `created_s` is the store's time,
    epoch seconds.
    """

    key: str
    step: int
    replacement: int
    created_s: float


@dataclass(frozen=True, slots=True)
class CommitView:
    """A commit with all its rank manifests, each checked against its hash."""

    info: CommitInfo
    commit: Commit
    manifests: tuple[RankManifest, ...]

    @property
    def step(self) -> int:
        """The optimizer step whose state this is."""
        return self.commit.step

    @property
    def size_bytes(self) -> int:
        """Bytes of tensor data, wherever they lie."""
        return sum(entry.size_bytes for manifest in self.manifests for entry in manifest.entries)

    def objects(self) -> dict[str, int]:
        """Return the size in bytes of each data object it refers to, by key."""
        return object_sizes(self.manifests)


def list_commits(store: Store) -> list[CommitInfo]:
    """Return all commits, newest first, with one listing. Includes those that were found damaged."""
    commits = []
    for found in store.list(layout.COMMITS):
        parsed = layout.parse_commit_key(found.key)
        if parsed is not None:
            commits.append(CommitInfo(found.key, *parsed, created_s=found.modified_s))
    return sorted(commits, key=lambda info: (info.step, info.replacement), reverse=True)


def usable_commits(store: Store) -> list[CommitInfo]:
    """Return the commits that nobody has found damaged, newest first."""
    bad = {found.key for found in store.list(layout.BAD)}
    return [info for info in list_commits(store) if layout.bad_key(info.key) not in bad]


def quarantine(store: Store, step: int, reason: str) -> None:
    """Mark the commits of `step` as damaged, so that `usable_commits` skips them.

    The step may then be saved again. Nothing is deleted: the sweep does that after its grace period.
    """
    marker = json.dumps({"step": step, "reason": reason}).encode()
    for info in usable_commits(store):
        if info.step == step:
            store.put(layout.bad_key(info.key), marker)


def is_quarantined(store: Store, key: str) -> bool:
    """Return whether the commit under `key` is marked as damaged."""
    return any(found.key == layout.bad_key(key) for found in store.list(layout.bad_key(key)))


def load_commit(store: Store, info: CommitInfo) -> CommitView:
    """Read the commit and every rank's manifest.

    Raises DamagedError when one of them is damaged or gone, FormatError, StoreError.
    """
    where = f"{store.url}/{info.key}"
    commit = decode_commit(_read(store, info.key, where), where)
    if commit.step != info.step:
        raise DamagedError(f"{where}: is the commit of step {commit.step}")

    def load(rank: int) -> RankManifest:
        reference = commit.ranks[rank]
        name = f"{store.url}/{reference.key}"
        data = _read(store, reference.key, name)
        if content_hash(data) != reference.xxh3:
            raise DamagedError(
                f"{name}: does not match its xxh3-128 {reference.xxh3} in the commit of step {info.step}"
            )
        manifest = decode_rank(data, name)
        if (manifest.step, manifest.fence, manifest.rank) != (commit.step, commit.fence, rank):
            raise DamagedError(
                f"{name}: belongs to step {manifest.step}, fence {manifest.fence}, rank {manifest.rank}"
            )
        return manifest

    with ThreadPoolExecutor(_CONCURRENT_READS, "load-commit") as pool:
        manifests = tuple(pool.map(load, range(commit.world_size)))
    return CommitView(info, commit, manifests)


def object_sizes(manifests: Iterable[RankManifest]) -> dict[str, int]:
    """Return the size in bytes of each data object that the manifests name, by key."""
    return {item.key: item.size_bytes for manifest in manifests for item in manifest.objects}


def _read(store: Store, key: str, where: str) -> bytes:
    try:
        return store.get(key)
    except ObjectMissing as error:
        raise DamagedError(f"{where}: is gone") from error
