"""Who should have the chips: the most valuable jobs that fit together, counted per pool."""

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.draft import Draft
from batch.scheduler.policy import always_preempts
from batch.scheduler.ranking import Ranking
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_MOSTLY_ENOUGH = 2048
"""Of a long ranking, so many entries mostly take all chips: the rest is looked at only if they leave any."""

_DISPLACED = [(one.rank, other.rank) for one in Tier for other in Tier if always_preempts(one, other)]


def fill(chips: Floats, count: Ints, room: float) -> Ints:
    """Return how many jobs of each entry fit into `room` chips, in order, passing over what is too big."""
    taken = np.zeros(len(chips), dtype=np.int64)
    at = (chips <= room).nonzero()[0]
    while len(at):
        sums = np.cumsum(chips[at] * count[at])
        whole = int(np.searchsorted(sums, room, side="right"))
        taken[at[:whole]] = count[at[:whole]]
        if whole == len(at):
            break
        room -= float(sums[whole - 1]) if whole else 0.0
        part = int(room // chips[at[whole]])
        taken[at[whole]] = part
        room -= part * float(chips[at[whole]])
        if room <= 0:
            break
        rest = at[whole + 1 :]
        at = rest[chips[rest] <= room]
    return taken


def allot(draft: Draft, ranking: Ranking) -> tuple[Bools, Ints]:
    """Return who would have the chips if moving were free: for each running row, and how many jobs of each entry.

    Chips are counted, not nodes. What may not be moved (younger than the minimum run, not preemptible) stays first.
    A bucket that several pools could hold goes to the one with the largest part free.
    """
    state = draft.state
    table = state.running.table
    young = draft.now_s - table["start_s"] < state.policy.minimum_run_s - 1
    waits = ranking.tier[~ranking.running]
    for displacing, displaced in _DISPLACED:
        if (waits == displacing).any():
            young &= table["tier"] != displaced
    fixed = table["fixed"] | young
    left = ranking.count.copy()
    runs = ranking.running.nonzero()[0]
    left[runs[fixed[ranking.row[runs]]]] = 0
    taken = np.zeros(len(left), dtype=np.int64)
    rooms, places = _rooms(state, fixed, draft.held_back), state.hosts.places
    parts = [slice(first, first + _MOSTLY_ENOUGH) for first in range(0, len(left), _MOSTLY_ENOUGH)]
    for pool, kind in _domains(state):
        room, here = float(rooms[pool, kind]), places[pool * NUM_KINDS + kind]
        for part in parts:
            if room <= 0:
                break
            members = here[ranking.place[part]].nonzero()[0] + part.start
            chips = ranking.chips[members]
            got = fill(chips, left[members], room)
            some = got.nonzero()[0]
            members, got = members[some], got[some]
            taken[members] += got
            left[members] -= got
            room -= float(chips[some] @ got) if len(parts) > 1 else 0.0
    keeps = fixed
    keeps[ranking.row[runs[taken[runs] > 0]]] = True
    taken[runs] = 0
    return keeps, taken


def _domains(state: SchedulerState) -> list[tuple[int, int]]:
    """Return (pool, kind) of all pools, for kinds of chips that anybody wants, the emptiest first."""
    demand = state.shares.demand
    kinds = [kind for kind in range(NUM_KINDS) if demand[kind::NUM_KINDS].any()]
    domains = [(pool, kind) for pool in range(len(state.pools)) for kind in kinds]
    if len(domains) <= 1:
        return domains
    fullness = [state.pools[pool].fullness(kind) for pool, kind in domains]
    return [domain for _, domain in sorted(zip(fullness, domains, strict=True))]


def _rooms(state: SchedulerState, fixed: Bools, held_back: Floats) -> Floats:
    """Return the chips that are neither under jobs that stay nor held back for other teams: [pools, kinds]."""
    table, num = state.running.table, len(state.pools) * NUM_KINDS
    domain = table["place"]
    stay = fixed & ~table["stopping"]
    kept = np.bincount(domain[stay], weights=table["chips"][stay], minlength=num).reshape(-1, NUM_KINDS)
    here = np.bincount(domain, weights=table["chips"], minlength=num).reshape(-1, NUM_KINDS)
    rooms = np.zeros((len(state.pools), NUM_KINDS))
    for number, pool in enumerate(state.pools):
        beside = float(pool.sum_used[1]) - here[number, 1]
        rooms[number] = float(pool.sums[0]), float(pool.sums[1]) - beside
    if held_back.any():
        rooms -= held_back * rooms / np.maximum(1.0, state.shares.capacity)
    return np.asarray(rooms - kept)
