"""What the scheduler remembers of a job, a sweep and a shape. Internal; changed by state.py only."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from batch.model import JobSpec, SweepSpec, Tier
from batch.scheduler.profiles import Profile
from batch.scheduler.waiting import BucketKey


@dataclass(slots=True)
class Placement:
    """Where a job is. `row` is its row among the running, `nodes` the numbers of its pool's nodes, one per bundle."""

    attempt: int
    pool: int
    nodes: tuple[int, ...]
    start_s: float
    row: int
    stopping: bool = False
    unknown: bool = False


@dataclass(slots=True)
class JobRecord:
    """One job that is not just an untouched member of a sweep.

    `since_s` is when it was submitted (its age survives preemption), `stop_s` since when it waits.
    """

    uid: int
    spec: JobSpec
    profile: Profile
    team: int
    share: int
    cell: int
    model: int
    tier: Tier
    since_s: float
    stop_s: float
    sweep: "SweepRecord | None" = None
    time_limit_s: float | None = None
    deadline_s: float | None = None
    held: bool = False
    unmet: frozenset[int] = frozenset()
    eligible_s: float = 0.0
    due: bool = False
    attained_s: float = 0.0
    counted_bin: int = -1
    preemptions: int = 0
    preempted_by: frozenset[int] = frozenset()
    placement: Placement | None = None
    outcome: str | None = None
    bucket: BucketKey | None = None


class Ranges:
    """A set of integers as sorted, disjoint, inclusive ranges."""

    def __init__(self, first: int, last: int) -> None:
        self._ranges: list[tuple[int, int]] = [(first, last)]

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._ranges, (value, float("inf"))) - 1
        return at >= 0 and value <= self._ranges[at][1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._ranges)

    def remove(self, value: int) -> None:
        """Take one value out. Raises KeyError."""
        at = bisect_right(self._ranges, (value, float("inf"))) - 1
        if at < 0 or value > self._ranges[at][1]:
            raise KeyError(value)
        first, last = self._ranges[at]
        parts = [(first, value - 1), (value + 1, last)]
        self._ranges[at : at + 1] = [part for part in parts if part[0] <= part[1]]


@dataclass(frozen=True, slots=True)
class RecalledSweep:
    """A sweep that was over and has left the memory.

    `members` has by uid how each had ended, and its specification, with what was changed of it alone.
    """

    uid: int
    first_uid: int
    spec: SweepSpec
    since_s: float
    members: Mapping[int, tuple[str, JobSpec]]


@dataclass(slots=True)
class SweepRecord:
    """A sweep: its members that nothing has happened to are `untouched`; the others have records of their own.

    `queued` says whether the untouched are in a bucket, `placed` counts members that hold a place.
    """

    uid: int
    first_uid: int
    spec: SweepSpec
    since_s: float
    untouched: Ranges
    model: JobRecord
    max_running: int | None
    queued: bool = False
    placed: int = 0
    ended: int = 0
    failed: int = 0
    succeeded: int = 0

    def count_end(self, outcome: str, by: int) -> bool:
        """Count a member that ended (or, -1, that is requeued). Returns whether all have ended now."""
        self.ended += by
        self.failed += by * (outcome == "failed")
        self.succeeded += by * (outcome == "succeeded")
        return self.ended == len(self.spec)

    @property
    def tripped(self) -> bool:
        """Say whether the breaker holds further members back."""
        limit = self.spec.stop_if_failed
        if limit is None or self.ended < max(1, self.spec.stop_after):
            return False
        return self.failed > limit * self.ended

    @property
    def allowed(self) -> int | None:
        """Return how many more members may start now; None is no limit."""
        if self.tripped:
            return 0
        return None if self.max_running is None else max(0, self.max_running - self.placed)

    @property
    def is_limited(self) -> bool:
        """Say whether members can be held back by others, so that they need buckets of their own."""
        return self.max_running is not None or self.spec.stop_if_failed is not None
