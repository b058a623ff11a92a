"""What is ranked, as columns: what runs, and after it what may start."""

from dataclasses import dataclass

import numpy as np

from batch.scheduler.arrays import RANKED_FLOATS, RANKED_INTS, Bools, Floats, Ints
from batch.scheduler.learner import EDGES_S, bins_of
from batch.scheduler.policy import age_factor, deadline_factor
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_LEAVES_BIN_S = np.concatenate([EDGES_S[1:-1], [np.inf]])
_EARLY_S = 1.0
"""A share is looked at again so long before one of its values can change: more than any rounding of epoch seconds."""

_NUM_INTS = len(RANKED_INTS)
_NUM_FLOATS = len(RANKED_FLOATS)


@dataclass(frozen=True, slots=True)
class Sides:
    """Columns of `num_running` running rows, and then of buckets.

    `ints`, [RANKED_INTS, entries]: of a bucket, `count` is what the quota of its team lets start. `index` (1/s) has
    what age and deadline add. `until_s`: until when the index stays as it is.
    """

    num_running: int
    row: Ints
    ints: Ints
    chips: Floats
    since_s: Floats
    index: Floats
    until_s: Floats

    @classmethod
    def of(cls, state: SchedulerState, now_s: float, price: float, room: Floats, among: Bools | None) -> "Sides":
        """Return what runs and is not stopping, and what may start within the chips `room` that quotas leave.

        Of the shares `among` (None: of all).
        """
        running, waiting = state.running.table, state.roster.waiting.table
        runs, ready = ~running["stopping"], waiting["count"] > 0
        if among is not None:
            runs &= among[running["share"]]
            ready &= among[waiting["share"]]
        run_rows, wait_rows = runs.nonzero()[0], ready.nonzero()[0]
        num = len(run_rows)
        run_floats = running.floats(_NUM_FLOATS + 3, run_rows)
        start_s, base_s, stay = run_floats[_NUM_FLOATS:]
        wait_floats = waiting.floats(_NUM_FLOATS + 2, wait_rows)
        stop_s, deadline_s = wait_floats[_NUM_FLOATS:]
        ints = np.concatenate([running.ints(_NUM_INTS, run_rows), waiting.ints(_NUM_INTS, wait_rows)], axis=1)
        floats = np.concatenate([run_floats[:_NUM_FLOATS], wait_floats[:_NUM_FLOATS]], axis=1)
        share, _, place, _, count, rate_at = ints
        chips, since_s, divisor = floats
        place[num:] += len(state.pools) * NUM_KINDS
        attained_s = base_s + (now_s - start_s)
        bins = bins_of(attained_s)
        rate_at[:num] += bins
        rate = state.learner.rates_at(rate_at)
        index = rate / divisor
        index[:num] *= stay
        until_s = np.empty_like(index)
        until_s[:num] = now_s - _EARLY_S + (_LEAVES_BIN_S[bins] - attained_s)
        until_s[num:] = _press(state, now_s, price, (stop_s, deadline_s, rate[num:]), index[num:])
        row = np.concatenate([run_rows, wait_rows])
        sides = cls(num, row, ints, chips, since_s, index, until_s)
        if not state.shares.has_quotas:
            return sides
        count[num:] = np.minimum(count[num:], (room[share[num:]] / chips[num:]).astype(np.int64))
        return sides._of(count.nonzero()[0]) if not count.all() else sides

    def _of(self, some: Ints) -> "Sides":
        num = int(np.searchsorted(some, self.num_running))
        ints, since_s, until_s = self.ints.take(some, axis=1), self.since_s[some], self.until_s[some]
        return Sides(num, self.row[some], ints, self.chips[some], since_s, self.index[some], until_s)


def _press(
    state: SchedulerState, now_s: float, price: float, columns: tuple[Floats, Floats, Floats], index: Floats
) -> Floats:
    """Add to the `index` of buckets what age and deadline add. Returns until when it stays so.

    `columns`: since when the first job of each waits, its deadline (0 without), and the rate of its class (1/s).
    """
    policy, (stop_s, deadline_s, rate) = state.policy, columns
    until_s = stop_s + (policy.age_after_s - _EARLY_S)
    waited_s = now_s - stop_s
    old = (waited_s > policy.age_after_s).nonzero()[0]
    if len(old):
        age = age_factor(waited_s[old], policy)
        index[old] = index[old] * (1.0 + age) + price * age
    some = deadline_s.nonzero()[0]
    if len(some):
        left_s = deadline_s[some] - now_s
        index[some] += price * deadline_factor(left_s, 1.0 / rate[some], policy)
        near_s = np.maximum(1.0, 1.0 / rate[some]) * (1.0 + policy.deadline_margin) + _EARLY_S
        begins_s = np.where(left_s > 0, deadline_s[some] - near_s, np.inf)
        until_s[some] = np.minimum(until_s[some], begins_s)
    return np.asarray(until_s)
