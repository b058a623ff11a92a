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
_FEW = 64
"""So many entries are gone through one by one in less time than arrays of them take."""


def fill(chips: Floats, count: Ints, room: float) -> tuple[Ints, Ints, float]:
    """Fit jobs into `room` chips, in order, passing over what is too big: of each entry as many as fit.

    Returns of which entries some fit, how many of each, and the room that is left.
    """
    some = ((chips <= room) & (count > 0)).nonzero()[0]
    sums = (chips[some] * count[some]).cumsum()
    whole = int(sums.searchsorted(room, side="right"))
    room -= float(sums[whole - 1]) if whole else 0.0
    taken, jobs = some[:whole], count[some[:whole]]
    rest = some[whole:]
    more: list[tuple[int, int]] = []
    if room > 0 and len(rest):
        rest = rest[chips[rest] <= room]
    for first in range(0, len(rest), _FEW):
        if room <= 0:
            break
        at = rest[first : first + _FEW]
        for entry, size, most in zip(at.tolist(), chips[at].tolist(), count[at].tolist(), strict=True):
            if size <= room:
                fit = min(most, int(room // size))
                more.append((entry, fit))
                room -= fit * size
    if not more:
        return taken, jobs, room
    entries, fits = np.array(more).T
    return np.concatenate([taken, entries]), np.concatenate([jobs, fits]), room


def allot(draft: Draft, ranking: Ranking) -> tuple[Bools, Ints]:
    """Return who would have the chips if moving were free: for each running row, and how many jobs of each entry.

    Chips are counted, not nodes. What may not be moved (younger than the minimum run, not preemptible) stays first.
    A bucket that several pools could hold goes to the one with the largest part free.
    """
    state = draft.state
    table = state.running.table
    young = draft.now_s - table["start_s"] < state.policy.minimum_run_s - 1
    for displacing, displaced in _DISPLACED:
        if ranking.waits_in(displacing):
            young &= table["tier"] != displaced
    keeps = young
    keeps |= table["fixed"]
    left = ranking.count.copy()
    runs, run_rows = ranking.runs, ranking.run_rows
    left[runs[keeps[run_rows]]] = 0
    taken = np.zeros(len(left), dtype=np.int64)
    rooms, places = _rooms(state, keeps, draft.held_back), state.hosts.places
    parts = range(0, len(left), _MOSTLY_ENOUGH)
    for pool, kind in _domains(state):
        room, here = float(rooms[pool, kind]), places[pool * NUM_KINDS + kind]
        for first in parts:
            if room <= 0:
                break
            members = here[ranking.place[first : first + _MOSTLY_ENOUGH]].nonzero()[0]
            members += first
            some, got, room = fill(ranking.chips[members], left[members], room)
            members = members[some]
            taken[members] += got
            left[members] -= got
    keeps[run_rows[taken[runs] > 0]] = True
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
    domain, chips = table["place"], table["chips"]
    kept = np.bincount(domain, chips * (fixed & ~table["stopping"]), num).reshape(-1, NUM_KINDS)
    here = np.bincount(domain, chips, num).reshape(-1, NUM_KINDS)
    rooms = np.zeros((len(state.pools), NUM_KINDS))
    for number, pool in enumerate(state.pools):
        beside = float(pool.sum_used[1]) - here[number, 1]
        rooms[number] = float(pool.sums[0]), float(pool.sums[1]) - beside
    if held_back.any():
        rooms -= held_back * rooms / np.maximum(1.0, state.shares.capacity)
    return np.asarray(rooms - kept)
