"""The jobs that are placed, by pool: what agents should have, kept beside the store so that a sync reads nothing."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from batch.job_queue import Queue
from batch.model import Cause
from batch.records import Job, JobFilter
from batch.states import JobState

_PLACED = frozenset(state for state in JobState if state.is_placed)
_EMPTY: Mapping[int, Job] = MappingProxyType({})


class Board:
    """Called by several threads. Follows the store by reading again what an event was about."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._pools: dict[str, dict[int, Job]] = {}
        self._pool_of: dict[int, str] = {}
        beyond: int | None = None
        while page := queue.jobs(JobFilter(states=_PLACED, members=True, newest=False, beyond=beyond)):
            beyond = page[-1].uid
            for job in page:
                self._put(job)

    def refresh(self, uids: Iterable[int]) -> set[str]:
        """Read these jobs anew, and return the pools where something changed."""
        changed = set()
        for uid in uids:
            with self._lock:
                job = self._queue.job(uid)
                before = self._pool_of.get(uid)
                if before is not None:
                    changed.add(before)
                    del self._pools[before][uid]
                    del self._pool_of[uid]
                if job.state.is_placed:
                    changed.add(job.pool)
                    self._put(job)
        return changed

    def placed(self, pool: str) -> Mapping[int, Job]:
        """Return the jobs that have a place in `pool` now, by uid; a copy."""
        with self._lock:
            return dict(self._pools.get(pool, _EMPTY))

    def find(self, uids: Iterable[int]) -> Mapping[int, Job]:
        """Return those of the jobs that have a place in any pool now, by uid."""
        with self._lock:
            return {uid: self._pools[self._pool_of[uid]][uid] for uid in uids if uid in self._pool_of}

    def has(self, uid: int) -> bool:
        """Return whether the job has a place, as of what is being read just now."""
        with self._lock:
            return uid in self._pool_of

    def pools(self) -> list[str]:
        """Return the pools in which something is placed."""
        with self._lock:
            return [name for name, jobs in self._pools.items() if jobs]

    def spent(self, uid: int) -> Mapping[Cause, int]:
        """Return how many attempts of the job have ended of each cause since it was submitted, or last requeued."""
        ended = [each for each in self._queue.attempts(uid) if each.ended_s is not None and each.cause]
        since_s = self._queue.requeued_s(uid) if ended else None
        return Counter(each.cause for each in ended if each.cause and (since_s is None or each.placed_s >= since_s))

    def _put(self, job: Job) -> None:
        self._pools.setdefault(job.pool, {})[job.uid] = job
        self._pool_of[job.uid] = job.pool
