"""Who is worth most: all running jobs and all buckets in one order."""

from dataclasses import dataclass

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints, ordered, starts_of
from batch.scheduler.pieces import Pieces, Premises
from batch.scheduler.policy import PolicyConfig, price_factor, price_of, team_target
from batch.scheduler.shares import NUM_KINDS, Shares
from batch.scheduler.sides import Sides
from batch.scheduler.state import SchedulerState

_ONE_TIER = 1e4
_DUE = 1e3
"""More than any value: tiers are in order, and in each what is due comes first, whatever jobs are worth."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Entries, most urgent first: a running job, or `count` jobs of equal value of one bucket.

    `row` is the row of the running job or of the bucket, `running` which of the two. `value` (1/s) is index and price
    without the tier, `priced` whether the team's entitlement adds to it. A bucket may have several entries, in the
    order of its jobs. `place` is the column of `Hosts.places` that says where the entry may be. `runs` are the
    numbers of the entries that run, `run_rows` their rows.
    """

    row: Ints
    running: Bools
    count: Ints
    chips: Floats
    tier: Ints
    value: Floats
    priced: Bools
    place: Ints
    runs: Ints
    run_rows: Ints

    def waits_in(self, tier: int) -> bool:
        """Say whether a job of the tier waits."""
        return bool(np.count_nonzero((self.tier == tier) & ~self.running))


_NO_QUOTA = 1e12
_FEW = 512
"""With fewer entries, to work out everything anew takes less time than to find out what changed."""

_FIRST = np.zeros(1, dtype=np.int64)
_NEVER = np.zeros(0)


def rank(state: SchedulerState, now_s: float) -> Ranking:
    """Order everything that runs (and is not stopping) or may start."""
    pieces = _pieces(state, now_s)
    order = pieces.floats[2].argsort(kind="stable")
    row, running, count, tier, place, priced = pieces.ints.take(order, axis=1)
    chips, value = pieces.floats[:2].take(order, axis=1)
    runs = running.nonzero()[0]
    columns = row, running.astype(np.bool_), count, chips, tier, value, priced.astype(np.bool_), place
    return Ranking(*columns, runs, row[runs])


def _pieces(state: SchedulerState, now_s: float) -> Pieces:
    """Return everything cut into pieces: what the last ranking worked out, but for the shares in which it changed.

    The same as to work out everything: a share's pieces follow from its rows, its premises, and the times that it
    noted. Only ties between shares depend on more, and those are settled by the order in which the pieces are returned.
    """
    shares, known = state.shares, state.pieces
    common = (price_of(shares.theta_chip_h), state.learner.version, len(state.pools))
    premises = Premises(common, shares.target, _room_in_quota(shares))
    tables = state.running.table, state.roster.waiting.table
    few = tables[0].count + tables[1].count < _FEW
    changed = None if known is None or few else premises.changed(known.premises)
    if known is not None and changed is not None:
        changed[[*tables[0].touched, *tables[1].touched]] = True
        changed |= known.until_s <= now_s
    for table in tables:
        table.touched.clear()
    places = shares.order
    if known is not None and changed is not None and not changed.any() and np.array_equal(places, known.places):
        return known
    if changed is not None and 2 * np.count_nonzero(changed) > len(changed):
        changed = None
    pieces = _cut(state, now_s, premises, places, changed, lasting=not few)
    if known is not None and changed is not None:
        pieces = known.with_fresh(pieces, changed)
    state.pieces = None if few else pieces
    return pieces


def _room_in_quota(shares: Shares) -> Floats:
    """Return for each share how many chips more the quota of its team lets it have."""
    if not shares.has_quotas:
        return np.full(len(shares.used), _NO_QUOTA)
    used = np.array(shares.team_used, dtype=np.float64).repeat(NUM_KINDS)
    return np.asarray(np.minimum(np.maximum(shares.quota - used, 0.0), _NO_QUOTA))


def _cut(
    state: SchedulerState, now_s: float, premises: Premises, places: Ints, among: Bools | None, *, lasting: bool
) -> Pieces:
    """Work out the pieces of the shares `among` (None: all), and, if they are `lasting`, until when they hold."""
    price = premises.common[0]
    sides = Sides.of(state, now_s, price, premises.room, among)
    share, tier = sides.ints[:2]
    order = ordered(tier + len(Tier) * places[share], -sides.index, sides.since_s)
    share, _, _, _, count, _ = sides.ints.take(order, axis=1)
    chips = sides.chips[order]
    starts = starts_of(share)
    before = _before(starts, chips * count)
    target = team_target(premises.target[share], order < sides.num_running, state.policy)
    until_s = np.full(len(places), np.inf) if lasting else _NEVER
    if lasting and len(order):
        until_s[share[starts]] = np.minimum.reduceat(sides.until_s[order], starts)
    source, count, at, factor = _priced(chips, count, before, target, state.policy)
    order, value = order[source], sides.index[order][source]
    share, tier, place, due, _, _ = sides.ints.take(order, axis=1)
    value[at] += price * factor
    if due.any():
        value += _DUE * due
    ints = np.zeros((6, len(order)), dtype=np.int64)
    ints[0], ints[1], ints[2], ints[3], ints[4] = sides.row[order], order < sides.num_running, count, tier, place
    ints[5, at] = factor > 0
    floats = np.empty((3, len(order)))
    floats[0], floats[1], floats[2] = chips[source], value, _ONE_TIER * tier - value
    spans = _spans(share, len(places)) if lasting else (_FIRST, _FIRST)
    return Pieces(premises, places, ints, floats, *spans, until_s)


def _spans(share: Ints, num_shares: int) -> tuple[Ints, Ints]:
    """Return for each share where its pieces begin, and how many it has."""
    starts = starts_of(share)
    first, size = np.zeros(num_shares, dtype=np.int64), np.bincount(share, minlength=num_shares)
    first[share[starts]] = starts
    return first, size


def _before(starts: Ints, chips: Floats) -> Floats:
    """Return for each entry the chips of the entries of its share before it."""
    total = chips.cumsum()
    total -= chips
    sizes = np.empty_like(starts)
    sizes[:-1] = starts[1:] - starts[:-1]
    sizes[-1:] = len(chips) - starts[-1:]
    return np.asarray(total - total[starts].repeat(sizes))


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
