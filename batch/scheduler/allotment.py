"""Who should have the chips: the most valuable jobs that fit together, counted per pool."""

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.policy import always_preempts
from batch.scheduler.ranking import Ranking
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

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
        rest = at[whole + 1 :]
        at = rest[chips[rest] <= room]
    return taken


def allot(state: SchedulerState, ranking: Ranking, now_s: float) -> tuple[Bools, Ints]:
    """Return who would have the chips if moving were free: for each running row, and how many jobs of each entry.

    Chips are counted, not nodes. What may not be moved (younger than the minimum run, not preemptible) stays first.
    A bucket that several pools could hold goes to the one with the largest part free.
    """
    table = state.running.table
    young = now_s - table["start_s"] < state.policy.minimum_run_s - 1
    waits = np.bincount(ranking.tier[~ranking.running], minlength=len(Tier)) > 0
    for displacing, displaced in _DISPLACED:
        if waits[displacing]:
            young &= table["tier"] != displaced
    fixed = table["fixed"] | young
    left = ranking.count.copy()
    left[ranking.running] *= ~fixed[ranking.row[ranking.running]]
    taken = np.zeros(len(left), dtype=np.int64)
    rooms = _rooms(state, fixed, now_s)
    where, allowed = _places(state, ranking)
    for pool, kind in _domains(state):
        members = allowed[pool * NUM_KINDS + kind][where].nonzero()[0]
        members = members[left[members] > 0]
        got = fill(ranking.chips[members], left[members], float(rooms[pool, kind]))
        taken[members] += got
        left[members] -= got
    keeps = fixed
    keeps[ranking.row[ranking.running & (taken > 0)]] = True
    taken[ranking.running] = 0
    return keeps, taken


def _domains(state: SchedulerState) -> list[tuple[int, int]]:
    """Return (pool, kind) of all pools, for kinds of chips that anybody wants, the emptiest first."""
    wanted = np.concatenate([state.running.table["kind"], state.roster.waiting.table["kind"]])
    kinds = [kind for kind in range(NUM_KINDS) if (wanted == kind).any()]
    domains = [(pool, kind) for pool in range(len(state.pools)) for kind in kinds]
    if len(domains) <= 1:
        return domains

    def fullness(domain: tuple[int, int]) -> float:
        pool = state.pools[domain[0]]
        used, total = (pool.used_gpus, pool.gpus) if domain[1] == 0 else (pool.used_cpus, pool.cpus)
        return float(used.sum() / max(1, total.sum()))

    return sorted(domains, key=lambda domain: (fullness(domain), domain))


def _places(state: SchedulerState, ranking: Ranking) -> tuple[Ints, Bools]:
    """Return for each entry where it may be, as a column of the second result, which says so: [domains, columns].

    The columns are the domains (pool * kinds + kind), for what runs there, then the profiles, for what waits.
    """
    running, waiting = state.running.table, state.roster.waiting.table
    num = len(state.pools) * NUM_KINDS
    where = np.empty(len(ranking.row), dtype=np.int64)
    of_runs, of_waits = ranking.row[ranking.running], ranking.row[~ranking.running]
    where[ranking.running] = (running["pool"] * NUM_KINDS + running["kind"])[of_runs]
    where[~ranking.running] = num + waiting["profile"][of_waits]
    hosts, kinds = state.hosts.T, state.kinds
    stacked = np.stack([hosts & (kinds == kind) for kind in range(NUM_KINDS)], axis=1)
    of_profiles = stacked.reshape(num, hosts.shape[1])  # not -1: before the first pool there is nothing to infer from
    return where, np.concatenate([np.eye(num, dtype=np.bool_), of_profiles], axis=1)


def _rooms(state: SchedulerState, fixed: Bools, now_s: float) -> Floats:
    """Return the chips that are neither under jobs that stay nor held back for other teams: [pools, kinds]."""
    table, num = state.running.table, len(state.pools) * NUM_KINDS
    domain = table["pool"] * NUM_KINDS + table["kind"]
    stay = fixed & ~table["stopping"]
    kept = np.bincount(domain[stay], weights=table["chips"][stay], minlength=num).reshape(-1, NUM_KINDS)
    here = np.bincount(domain, weights=table["chips"], minlength=num).reshape(-1, NUM_KINDS)
    rooms = np.zeros((len(state.pools), NUM_KINDS))
    for number, pool in enumerate(state.pools):
        beside = float(pool.used_cpus.sum()) - here[number, 1]
        rooms[number] = float(pool.gpus.sum()), float(pool.cpus.sum()) - beside
    held_back = state.shares.held_back(now_s)
    if held_back.any():
        rooms -= held_back * rooms / np.maximum(1.0, state.shares.capacity)
    return np.asarray(rooms - kept)
