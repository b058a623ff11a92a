"""Who is worth most: all running jobs and all buckets in one order."""

from dataclasses import dataclass

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints, ordered
from batch.scheduler.learner import bins_of
from batch.scheduler.policy import (
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
    order of its jobs.
    """

    row: Ints
    running: Bools
    count: Ints
    chips: Floats
    tier: Ints
    value: Floats
    priced: Bools


_NO_QUOTA = 1e12


def rank(state: SchedulerState, now_s: float) -> Ranking:
    """Order everything that runs (and is not stopping) or may start."""
    policy, shares = state.policy, state.shares
    price = price_of(shares.theta_chip_h)
    runs, waits = _Side.of_running(state, now_s), _Side.of_waiting(state, now_s, price)
    row = np.concatenate([runs.row, waits.row])
    if not len(row):
        empty = np.zeros(0)
        none = empty.astype(np.int64)
        return Ranking(none, empty.astype(np.bool_), none, empty, none, empty, empty.astype(np.bool_))
    share = np.concatenate([runs.share, waits.share])
    chips = np.concatenate([runs.chips, waits.chips])
    tier = np.concatenate([runs.tier, waits.tier])
    index = np.concatenate([runs.index, waits.index])
    count = np.concatenate([runs.count, waits.count])
    since_s = np.concatenate([runs.since_s, waits.since_s])
    order = ordered(tier + len(Tier) * shares.order[share], -index, since_s)
    before = _before(share[order], (chips * count)[order])

    target = team_target(shares.target[share[order]], order < len(runs.row), policy)
    order, count, before, target = _split(order, chips[order], count[order], before, target)
    chips = chips[order]
    factor = price_factor(before, target, chips, policy)
    value = index[order] + price * factor + _DUE * np.concatenate([runs.due, waits.due])[order]
    tier = tier[order]
    final = np.argsort(_ONE_TIER * tier - value, kind="stable")
    order = order[final]
    is_running = order < len(runs.row)
    return Ranking(row[order], is_running, count[final], chips[final], tier[final], value[final], factor[final] > 0)


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

    @classmethod
    def of_running(cls, state: SchedulerState, now_s: float) -> "_Side":
        table, policy = state.running.table, state.policy
        row = (~table["stopping"]).nonzero()[0]
        cell, chips = table["cell"][row], table["chips"][row]
        rate = state.learner.rates[cell, bins_of(state.running.attained_s(now_s)[row])]
        index = index_of(rate, chips, policy) * running_factor(table["preemptions"][row], policy)
        ones = np.ones(len(row), dtype=np.int64)
        due, since_s = table["due"][row], table["since_s"][row]
        return cls(row, table["share"][row], chips, table["tier"][row], index, ones, since_s, due)

    @classmethod
    def of_waiting(cls, state: SchedulerState, now_s: float, price: float) -> "_Side":
        table, policy = state.roster.waiting.table, state.policy
        count = np.minimum(table["ready"], _room_in_quota(state))
        row = (count > 0).nonzero()[0]
        chips = table["chips"][row]
        rate = state.learner.rates[table["cell"][row], table["bin"][row]]
        age = age_factor(now_s - table["stop_s"][row], policy)
        index = index_of(rate, chips, policy) * (1.0 + age) + price * age
        deadline_s = table["deadline_s"][row]
        if deadline_s.any():
            index = index + price * deadline_factor(deadline_s - now_s, 1.0 / rate, policy)
        due, since_s = table["due"][row], table["since_s"][row]
        return cls(row, table["share"][row], chips, table["tier"][row], index, count[row], since_s, due)


def _room_in_quota(state: SchedulerState) -> Ints:
    """Return for each bucket how many of its jobs the quota of its team still lets start."""
    table, shares = state.roster.waiting.table, state.shares
    if not np.isfinite(shares.quota).any():
        return np.asarray(table["ready"])
    used = np.repeat(shares.used.reshape(-1, NUM_KINDS).sum(axis=1), NUM_KINDS)
    room = np.clip(shares.quota - used, 0.0, _NO_QUOTA)[table["share"]]
    return np.asarray((room / table["chips"]).astype(np.int64))


def _before(share: Ints, chips: Floats) -> Floats:
    """Return for each entry the chips of the entries of its share before it; entries come share by share."""
    total = np.cumsum(chips)
    total -= chips
    new = np.empty(len(share), dtype=np.int64)
    new[0], new[1:] = 0, share[1:] != share[:-1]
    starts = new.nonzero()[0]
    base = np.concatenate([total[:1], total[starts]])
    return np.asarray(total - base[np.cumsum(new)])


def _split(
    order: Ints, chips: Floats, count: Ints, before: Floats, target: Floats
) -> tuple[Ints, Ints, Floats, Floats]:
    """Cut buckets at their team's target: each job below it has a price of its own, all jobs above it none."""
    below = np.floor((target - before) / chips + 0.5 + 1e-9)
    inside = np.minimum(np.maximum(below, 0), count).astype(np.int64)
    pieces = np.where(count > 1, inside + (inside < count), 1)
    if pieces.sum() == len(pieces):
        return order, count, before, target
    source = np.repeat(np.arange(len(order)), pieces)
    nth = np.arange(len(source)) - (np.cumsum(pieces) - pieces)[source]
    inside, count = inside[source], count[source]
    left = np.where((nth < inside) | (count == 1), 1, count - inside)
    return order[source], left, before[source] + nth * chips[source], target[source]
