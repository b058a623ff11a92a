"""Deleting what nothing refers to: expired and damaged checkpoints, what failed saves left, old fences.

The order keeps every listed commit loadable at every instant: a commit is deleted before its data, and data
only when no commit and no recent rank manifest refers to it and it is older than the grace period, which must
be longer than any save takes: what is being written now belongs to nobody yet.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass

from checkpoint import layout
from checkpoint.commits import CommitInfo, list_commits, load_commit, object_sizes, usable_commits
from checkpoint.errors import DamagedError
from checkpoint.manifest import decode_rank
from checkpoint.retention import expendable_steps
from checkpoint.store import ObjectInfo, Store

_KEPT_FENCES = 16


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What was deleted: steps of commits, number and bytes of other objects, unfinished uploads."""

    steps: tuple[int, ...]
    num_objects: int
    size_bytes: int
    num_uploads: int


def sweep(
    store: Store,
    *,
    keep_last: int,
    keep_every_steps: int | None = None,
    pinned: Collection[int] = (),
    grace_s: float,
) -> SweepReport:
    """Apply retention and delete garbage. One caller at a time; readers and writers may go on.

    `grace_s` must exceed the longest save. Blocking: a listing, and one request per rank of every kept
    checkpoint. Raises StoreError; what was not deleted then is found by the next sweep. When a usable commit
    turns out damaged, all data stays, because what it refers to is unknown: quarantine it first.
    """
    before_s = time.time() - grace_s
    usable = usable_commits(store)
    expired = set(
        expendable_steps(
            [info.step for info in usable],
            keep_last=keep_last,
            keep_every_steps=keep_every_steps,
            pinned=pinned,
        )
    )
    condemned = [info for info in usable if info.step in expired] + _condemned_bad(store, usable, before_s)
    store.delete(info.key for info in condemned)
    store.delete(layout.bad_key(info.key) for info in condemned)
    garbage = _old_fences(store) + _old_decisions(store, before_s) + _unreferenced(store, before_s)
    store.delete(found.key for found in garbage)
    return SweepReport(
        steps=tuple(sorted({info.step for info in condemned})),
        num_objects=len(garbage),
        size_bytes=sum(found.size_bytes for found in garbage),
        num_uploads=store.abort_uploads(grace_s),
    )


def _condemned_bad(store: Store, usable: list[CommitInfo], before_s: float) -> list[CommitInfo]:
    """Return the commits that have been marked as damaged for longer than the grace period."""
    marked_s = {found.key: found.modified_s for found in store.list(layout.BAD)}
    return [
        info
        for info in list_commits(store)
        if info not in usable and marked_s.get(layout.bad_key(info.key), before_s) < before_s
    ]


def _old_fences(store: Store) -> list[ObjectInfo]:
    """Return all but the newest fences: only the newest counts."""
    fences = [found for found in store.list(layout.FENCES) if layout.parse_fence_key(found.key) is not None]
    return fences[:-_KEPT_FENCES]


def _old_decisions(store: Store, before_s: float) -> list[ObjectInfo]:
    """Return the decisions of generations that are long over; the last one may be waited for."""
    return [found for found in list(store.list(layout.DECISIONS))[:-1] if found.modified_s < before_s]


def _unreferenced(store: Store, before_s: float) -> list[ObjectInfo]:
    """Return old rank manifests and segments that no commit and no recent rank manifest refers to."""
    parts = list(store.list(layout.PARTS))
    candidates = parts + list(store.list(layout.DATA))
    try:
        referenced = _referenced(store, [found.key for found in parts if found.modified_s >= before_s])
    except DamagedError:
        return []
    return [found for found in candidates if found.modified_s < before_s and found.key not in referenced]


def _referenced(store: Store, recent_parts: list[str]) -> set[str]:
    """Return the keys that must stay. Raises DamagedError when a usable commit cannot tell what it needs."""
    referenced: set[str] = set()
    usable = usable_commits(store)
    for info in list_commits(store):
        try:
            view = load_commit(store, info)
        except DamagedError:
            if info in usable:
                raise
            continue
        referenced |= {reference.key for reference in view.commit.ranks} | set(view.objects())
    for key in recent_parts:
        referenced |= set(object_sizes([decode_rank(store.get(key), key)]))
    return referenced
