"""Who is worth most: all running jobs and all buckets in one order."""

from dataclasses import dataclass

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints, ordered
from batch.scheduler.learner import bins_of
from batch.scheduler.policy import (
    PolicyConfig,
    age_factor,
    deadline_factor,
    index_of,
    price_factor,
    price_of,
    running_factor,
    team_target,
)
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_ONE_TIER = 1e4
_DUE = 1e3
"""More than any value: tiers are in order, and in each what is due comes first, whatever jobs are worth."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Entries, most urgent first: a running job, or `count` jobs of equal value of one bucket.

    `row` is the row of the running job or of the bucket, `running` which of the two. `value` (1/s) is index and price
    without the tier, `priced` whether the team's entitlement adds to it. A bucket may have several entries, in the
    order of its jobs. `place` is the column of `SchedulerState.places` that says where the entry may be.
    """

    row: Ints
    running: Bools
    count: Ints
    chips: Floats
    tier: Ints
    value: Floats
    priced: Bools
    place: Ints


_NO_QUOTA = 1e12
_FIRST = np.zeros(1, dtype=np.int64)


def rank(state: SchedulerState, now_s: float) -> Ranking:
    """Order everything that runs (and is not stopping) or may start."""
    policy, shares = state.policy, state.shares
    price = price_of(shares.theta_chip_h)
    runs, waits = _Side.of_running(state, now_s), _Side.of_waiting(state, now_s, price)
    row = np.concatenate([runs.row, waits.row])
    if not len(row):
        empty = np.zeros(0)
        none = empty.astype(np.int64)
        return Ranking(none, empty.astype(np.bool_), none, empty, none, empty, empty.astype(np.bool_), none)
    share = np.concatenate([runs.share, waits.share])
    chips = np.concatenate([runs.chips, waits.chips])
    tier = np.concatenate([runs.tier, waits.tier])
    index = np.concatenate([runs.index, waits.index])
    count = np.concatenate([runs.count, waits.count])
    since_s = np.concatenate([runs.since_s, waits.since_s])
    order = ordered(tier + len(Tier) * shares.order[share], -index, since_s)
    share, chips, count = share[order], chips[order], count[order]
    before = _before(share, chips * count)
    target = team_target(shares.target[share], order < len(runs.row), policy)
    source, count, at, factor = _priced(chips, count, before, target, policy)
    order, chips = order[source], chips[source]
    value, priced, tier = index[order], np.zeros(len(order), dtype=np.bool_), tier[order]
    value[at] += price * factor
    priced[at] = factor > 0
    if runs.due.any() or waits.due.any():
        value += _DUE * np.concatenate([runs.due, waits.due])[order]
    final = (_ONE_TIER * tier - value).argsort(kind="stable")
    order = order[final]
    place = np.concatenate([runs.place, waits.place])[order]
    count, chips, tier, value, priced = count[final], chips[final], tier[final], value[final], priced[final]
    return Ranking(row[order], order < len(runs.row), count, chips, tier, value, priced, place)


@dataclass(frozen=True, slots=True)
class _Side:
    """Columns of one of the two kinds of entries. `index` (1/s) has what age and deadline add."""

    row: Ints
    share: Ints
    chips: Floats
    tier: Ints
    index: Floats
    count: Ints
    since_s: Floats
    due: Bools
    place: Ints

    @classmethod
    def of_running(cls, state: SchedulerState, now_s: float) -> "_Side":
        table, policy = state.running.table, state.policy
        row = (~table["stopping"]).nonzero()[0]
        cell, chips = table["cell"][row], table["chips"][row]
        rate = state.learner.rates_of(cell, bins_of(state.running.attained_s(now_s)[row]))
        index = index_of(rate, chips, policy) * running_factor(table["preemptions"][row], policy)
        ones = np.ones(len(row), dtype=np.int64)
        due, since_s = table["due"][row], table["since_s"][row]
        place = table["pool"][row] * NUM_KINDS + table["kind"][row]
        return cls(row, table["share"][row], chips, table["tier"][row], index, ones, since_s, due, place)

    @classmethod
    def of_waiting(cls, state: SchedulerState, now_s: float, price: float) -> "_Side":
        table, policy = state.roster.waiting.table, state.policy
        count = np.minimum(table["ready"], _room_in_quota(state))
        row = (count > 0).nonzero()[0]
        chips = table["chips"][row]
        rate = state.learner.rates_of(table["cell"][row], table["bin"][row])
        index = index_of(rate, chips, policy)
        waited_s = now_s - table["stop_s"][row]
        old = (waited_s > policy.age_after_s).nonzero()[0]
        if len(old):
            age = age_factor(waited_s[old], policy)
            index[old] = index[old] * (1.0 + age) + price * age
        deadline_s = table["deadline_s"][row]
        some = deadline_s.nonzero()[0]
        if len(some):
            index[some] += price * deadline_factor(deadline_s[some] - now_s, 1.0 / rate[some], policy)
        due, since_s = table["due"][row], table["since_s"][row]
        place = len(state.pools) * NUM_KINDS + table["profile"][row]
        return cls(row, table["share"][row], chips, table["tier"][row], index, count[row], since_s, due, place)


def _room_in_quota(state: SchedulerState) -> Ints:
    """Return for each bucket how many of its jobs the quota of its team still lets start."""
    table, shares = state.roster.waiting.table, state.shares
    if not shares.has_quotas:
        return np.asarray(table["ready"])
    used = np.repeat(shares.used.reshape(-1, NUM_KINDS).sum(axis=1), NUM_KINDS)
    room = np.clip(shares.quota - used, 0.0, _NO_QUOTA)[table["share"]]
    return np.asarray((room / table["chips"]).astype(np.int64))


def _before(share: Ints, chips: Floats) -> Floats:
    """Return for each entry the chips of the entries of its share before it; entries come share by share."""
    total = chips.cumsum()
    total -= chips
    changes = (share[1:] != share[:-1]).nonzero()[0] + 1
    bounds = np.concatenate([_FIRST, changes, [len(share)]])
    starts = bounds[:-1]
    return np.asarray(total - total[starts].repeat(bounds[1:] - starts))


def _priced(
    chips: Floats, count: Ints, before: Floats, target: Floats, policy: PolicyConfig
) -> tuple[Ints, Ints, Ints, Floats]:
    """Cut buckets at their team's target: each job below it has a price of its own, all jobs above it none.

    Returns for each piece the entry it is of and its number of jobs; and of which pieces begin below their target, and
    how many prices each of those gets.
    """
    below = (before < target).nonzero()[0]
    chips, jobs, before, target = chips[below], count[below], before[below], target[below]
    inside = np.minimum(np.maximum(np.floor((target - before) / chips + 0.5 + 1e-9), 0), jobs).astype(np.int64)
    pieces = np.where(jobs > 1, inside + (inside < jobs), 1)
    source = np.arange(len(count))
    if pieces.sum() == len(pieces):
        return source, count, below, price_factor(before, target, chips, policy)
    ends = pieces.cumsum()
    of = np.arange(len(below)).repeat(pieces)
    nth = np.arange(len(of)) - (ends - pieces)[of]
    at = (below + ends - pieces - np.arange(len(below)))[of] + nth
    times = np.ones(len(count), dtype=np.int64)
    times[below] = pieces
    source = source.repeat(times)
    left = count[source]
    left[at] = np.where((nth < inside[of]) | (jobs[of] == 1), 1, jobs[of] - inside[of])
    factor = price_factor(before[of] + nth * chips[of], target[of], chips[of], policy)
    return source, left, at, factor
