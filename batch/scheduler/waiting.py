"""The eligible jobs, in buckets of jobs worth the same: what is ranked is buckets, however many wait in each."""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from batch.scheduler.arrays import RANKED_FLOATS, RANKED_INTS, Table
from batch.scheduler.learner import NUM_BINS
from batch.scheduler.profiles import Profile


class BucketKey(NamedTuple):
    """What jobs of one bucket have in common. `group`: the limited sweep, or -1; `deadline`: a coarse one, or -1."""

    tier: int
    share: int
    profile: int
    cell: int
    bin: int
    ran: bool
    kind: int
    due: bool
    group: int
    deadline: int


_FLOATS = (*RANKED_FLOATS, "stop_s", "deadline_s")

DEADLINE_GRID_S = 900.0


@dataclass(slots=True, eq=False)
class Bucket:
    """Jobs in the order in which they start: by submission, then uid. Entries are (since_s, first uid, last uid).

    `ready` of the `count` jobs, of `chips` each, may start now: the column `count` of its row.
    """

    key: BucketKey
    row: int
    chips: int
    ready: int = 0
    entries: list[tuple[float, int, int]] = field(default_factory=list)
    head: int = 0
    count: int = 0

    def uids(self) -> Iterator[int]:
        """Yield the uids of all jobs, first to start first."""
        for at in range(self.head, len(self.entries)):
            _, first, last = self.entries[at]
            yield from range(first, last + 1)

    def place_of(self, since_s: float, uid: int) -> int:
        """Return how many jobs of the bucket come before job `uid`."""
        at = bisect_right(self.entries, (since_s, uid, 2**63), lo=self.head) - 1
        single = self.count == len(self.entries) - self.head
        before = at - self.head if single else sum(e[2] - e[1] + 1 for e in self.entries[self.head : at])
        return before + uid - self.entries[at][1]

    def add(self, since_s: float, first: int, last: int) -> None:
        """Add jobs of consecutive uids that were submitted together."""
        entry = (since_s, first, last)
        if not self.entries or self.entries[-1] < entry:
            self.entries.append(entry)
        else:
            insort(self.entries, entry, lo=self.head)
        self.count += last - first + 1

    def remove(self, since_s: float, first: int, last: int) -> None:
        """Remove jobs of consecutive uids, which are in one entry."""
        at = bisect_right(self.entries, (since_s, first, 2**63), lo=self.head) - 1
        _, low, high = self.entries[at]
        rest = [(since_s, low, first - 1), (since_s, last + 1, high)]
        rest = [entry for entry in rest if entry[1] <= entry[2]]
        if not rest and at == self.head:
            self.head += 1
            if self.head > 64 and self.head * 2 > len(self.entries):
                del self.entries[: self.head]
                self.head = 0
        else:
            self.entries[at : at + 1] = rest
        self.count -= last - first + 1


class Waiting:
    """All buckets, and their ranked properties as columns (one row per bucket; `place` is the profile).

    `want(share, chips)` is told of every change in what may start; `stop_of(uid)` says since when a job waits;
    `allowed_of(group)` how many more members of a limited sweep may start (None: all).
    """

    def __init__(
        self,
        want: Callable[[int, int], None],
        stop_of: Callable[[int], float],
        allowed_of: Callable[[int], int | None],
    ) -> None:
        self.table = Table(RANKED_INTS, _FLOATS)
        self.rows: list[Bucket] = []
        self.count = 0
        self._buckets: dict[BucketKey, Bucket] = {}
        self._groups: dict[int, list[Bucket]] = {}
        self._want = want
        self._stop_of = stop_of
        self._allowed_of = allowed_of

    def add(self, key: BucketKey, profile: Profile, jobs: tuple[float, int, int]) -> None:
        """Let jobs (since_s, first uid, last uid), of `profile` each, wait in the bucket of `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            values = {
                "share": key.share,
                "tier": key.tier,
                "place": key.profile,
                "due": key.due,
                "count": 0,
                "rate_at": key.cell * NUM_BINS + key.bin,
                "chips": profile.chips,
                "since_s": 0.0,
                "divisor": profile.divisor,
                "stop_s": 0.0,
                "deadline_s": max(0, key.deadline) * DEADLINE_GRID_S,
            }
            bucket = self._buckets[key] = Bucket(key, self.table.append(values), profile.chips)
            self.rows.append(bucket)
            if key.group >= 0:
                self._groups.setdefault(key.group, []).append(bucket)
        bucket.add(*jobs)
        self.count += jobs[2] - jobs[1] + 1
        if bucket.entries[bucket.head] == jobs:
            self._note_head(bucket)
        self._note_count(bucket)

    def remove(self, key: BucketKey, since_s: float, first: int, last: int) -> None:
        """Take jobs of consecutive uids out, which are in one entry. The bucket goes when it is empty."""
        bucket = self._buckets[key]
        head = bucket.entries[bucket.head]
        bucket.remove(since_s, first, last)
        self.count -= last - first + 1
        self._note_count(bucket)
        if bucket.count == 0:
            self._drop(bucket)
        elif bucket.entries[bucket.head] != head:
            self._note_head(bucket)

    def bucket(self, key: BucketKey) -> Bucket:
        """Return the bucket of `key`. Raises KeyError."""
        return self._buckets[key]

    def refresh(self, group: int) -> None:
        """Share out what may start of a limited sweep among its buckets, the older buckets first."""
        left = self._allowed_of(group)
        for bucket in self._groups.get(group, ()):
            ready = bucket.count if left is None else min(bucket.count, left)
            self._set_ready(bucket, ready)
            left = None if left is None else left - ready

    def _note_count(self, bucket: Bucket) -> None:
        if bucket.key.group < 0:
            self._set_ready(bucket, bucket.count)
        else:
            self.refresh(bucket.key.group)

    def _set_ready(self, bucket: Bucket, ready: int) -> None:
        change = ready - bucket.ready
        if change:
            bucket.ready = ready
            self.table.put(bucket.row, "count", ready)
            self._want(bucket.key.share, change * bucket.chips)

    def _note_head(self, bucket: Bucket) -> None:
        since_s, uid, _ = bucket.entries[bucket.head]
        self.table.put(bucket.row, "since_s", since_s)
        self.table.put(bucket.row, "stop_s", self._stop_of(uid))

    def _drop(self, bucket: Bucket) -> None:
        del self._buckets[bucket.key]
        group = self._groups.get(bucket.key.group)
        if group is not None:
            group.remove(bucket)
            if not group:
                del self._groups[bucket.key.group]
        last = self.table.drop(bucket.row)
        moved = self.rows.pop()
        if bucket.row != last:
            self.rows[bucket.row] = moved
            moved.row = bucket.row
