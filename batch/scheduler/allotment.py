"""Who should have the chips: the most valuable jobs that fit together, counted per pool."""

import numpy as np

from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.ranking import Ranking
from batch.scheduler.state import SchedulerState


def fill(chips: Floats, count: Ints, room: float) -> Ints:
    """Return how many jobs of each entry fit into `room` chips, in order, passing over what is too big."""
    taken = np.zeros(len(chips), dtype=np.int64)
    at = np.flatnonzero(chips <= room)
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
    fixed = table["fixed"] | (now_s - table["start_s"] < state.policy.minimum_run_s - 1)
    stays = np.zeros(len(ranking.row), dtype=np.bool_)
    stays[ranking.running] = fixed[ranking.row[ranking.running]]
    taken = np.zeros(len(ranking.row), dtype=np.int64)
    left = np.where(stays, 0, ranking.count)
    for pool, kind in _domains(state):
        members = np.flatnonzero(_members(state, ranking, pool, kind) & (left > 0))
        got = fill(ranking.chips[members], left[members], _room(state, pool, kind, fixed, now_s))
        taken[members] += got
        left[members] -= got
    keeps = fixed
    keeps[ranking.row[ranking.running & (taken > 0)]] = True
    return keeps, np.where(ranking.running, 0, taken)


def _domains(state: SchedulerState) -> list[tuple[int, int]]:
    """Return (pool, kind) of all pools, the emptiest first."""
    kinds = set(state.running.table["kind"].tolist()) | set(state.roster.waiting.table["kind"].tolist())
    domains = [(pool, kind) for pool in range(len(state.pools)) for kind in sorted(kinds)]
    if len(domains) <= 1:
        return domains

    def fullness(domain: tuple[int, int]) -> float:
        pool = state.pools[domain[0]]
        used, total = (pool.used_gpus, pool.gpus) if domain[1] == 0 else (pool.used_cpus, pool.cpus)
        return float(used.sum() / max(1, total.sum()))

    return sorted(domains, key=lambda domain: (fullness(domain), domain))


def _members(state: SchedulerState, ranking: Ranking, pool: int, kind: int) -> Bools:
    """Say which entries run in `pool` or could start there, and want chips of `kind`."""
    running, waiting = state.running.table, state.roster.waiting.table
    members = np.zeros(len(ranking.row), dtype=np.bool_)
    of_running = ranking.row[ranking.running]
    members[ranking.running] = (running["pool"][of_running] == pool) & (running["kind"][of_running] == kind)
    of_waiting = ranking.row[~ranking.running]
    could = state.hosts[waiting["profile"][of_waiting], pool]
    members[~ranking.running] = could & (waiting["kind"][of_waiting] == kind)
    return members


def _room(state: SchedulerState, pool: int, kind: int, fixed: Bools, now_s: float) -> float:
    """Return the chips of `kind` in `pool` that are neither under jobs that stay nor held back for other teams."""
    nodes, table = state.pools[pool], state.running.table
    here = (table["pool"] == pool) & (table["kind"] == kind)
    room = float(nodes.gpus.sum())
    if kind == 1:
        beside = float(nodes.used_cpus.sum()) - float(table["chips"][here].sum())
        room = float(nodes.cpus.sum()) - beside
    held_back = float(state.shares.held_back(now_s)[kind])
    if held_back:
        room -= held_back * room / max(1.0, float(state.shares.capacity[kind]))
    return room - float(table["chips"][here & fixed & ~table["stopping"]].sum())
