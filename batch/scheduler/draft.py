"""One decision in the making: what would be free after what has been decided so far. The state is not touched."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from batch.scheduler.actions import Action, Place, Reason
from batch.scheduler.arrays import Ints
from batch.scheduler.jobs import JobRecord, SweepRecord
from batch.scheduler.profiles import Profile
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState


class Draft:
    """Actions so far, and copies of what they use up. Within one decision, what is free only shrinks.

    `all_gpus` and `all_cpus` are what is free on the nodes of all pools, counted from `first_node` of their pool;
    `free_gpus` and `free_cpus` are views of these, pool by pool.
    `held_back` has the chips of each kind that computeReservation keeps. `reasons` has, once the decision is complete,
    what jobs of a profile lack.
    """

    def __init__(self, state: SchedulerState, now_s: float) -> None:
        self.state = state
        self.now_s = now_s
        self.actions: list[Action] = []
        self.started: set[int] = set()
        self.reasons: dict[int, Reason] = {}
        self.first_node = [0, *accumulate(len(pool.names) for pool in state.pools)]
        self.all_gpus = _joined([pool.free_gpus for pool in state.pools])
        self.all_cpus = _joined([pool.free_cpus for pool in state.pools])
        self.free_gpus, self.free_cpus = self._by_pool(self.all_gpus), self._by_pool(self.all_cpus)
        held = np.zeros((2, len(self.all_gpus)), dtype=np.int64)
        self.held_gpus, self.held_cpus = self._by_pool(held[0]), self._by_pool(held[1])
        self._failed: set[int] = set()
        self._group_left: dict[int, int] = {}
        self._given: Counter[int] = Counter()
        self._most_free: list[tuple[int, int] | None] = [None] * len(state.pools)
        self._all_free: dict[tuple[int, int], int] = {}
        self.held_back = state.shares.held_back(now_s)
        self._open = self._open_chips()

    def _open_chips(self) -> list[float]:
        """Return how many chips of each kind may still be given out, computeReservation considered."""
        shares, held_back = self.state.shares, self.held_back
        if not held_back.any():
            return [np.inf] * NUM_KINDS
        used = shares.used.reshape(-1, NUM_KINDS).sum(axis=0)
        return [float(shares.capacity[k] - held_back[k] - used[k]) for k in range(NUM_KINDS)]

    def could_fit(self, profile: int) -> bool:
        """Say whether a job of the profile may fit: False once one has not."""
        return profile not in self._failed

    def refused(self, job: JobRecord) -> str | None:
        """Return the code of the limit that forbids starting the job whatever is free, or None."""
        chips, team, sweep = job.profile.chips, self.state.shares.teams[job.team], job.sweep
        if team.quota is not None and self.used_by(job.team) + chips > team.quota:
            return "quota"
        if self._open[job.profile.kind] < chips:
            return "compute_reservation"
        if sweep is not None and sweep.allowed is not None and self._left_of(job) <= 0:
            return "breaker" if sweep.tripped else "sweep_limit"
        return None

    def used_by(self, team: int) -> float:
        """Return the chips of all kinds that the team has, with what this decision gave it."""
        return float(self.state.shares.team_used[team]) + self._given[team]

    def _by_pool(self, column: Ints) -> list[Ints]:
        """Return each pool's part of a column over all nodes, as views."""
        return [column[first:end] for first, end in pairwise(self.first_node)]

    def most_free(self, pool: int) -> tuple[int, int]:
        """Return the most accelerators and the most CPUs that are free on one node of the pool."""
        most = self._most_free[pool]
        if most is None:
            kinds = self.free_gpus[pool], self.free_cpus[pool]
            most = int(np.maximum.reduce(kinds[0], initial=0)), int(np.maximum.reduce(kinds[1], initial=0))
            self._most_free[pool] = most
        return most

    def members_running(self, sweep: SweepRecord) -> int:
        """Return how many members of a sweep have places, with what this decision started."""
        allowed = sweep.allowed or 0
        return sweep.placed + allowed - self._group_left.get(sweep.uid, allowed)

    def all_free(self, pool: int, kind: int) -> int:
        """Return how many chips of the kind are free on the nodes of the pool together."""
        free = self._all_free.get((pool, kind))
        if free is None:
            of_nodes = (self.free_cpus if kind else self.free_gpus)[pool]
            free = self._all_free[pool, kind] = int(np.add.reduce(np.maximum(of_nodes, 0)))
        return free

    def _note_change(self, pool: int) -> None:
        """Forget what was worked out of the pool: what is free there is not what it was."""
        self._most_free[pool] = None
        for kind in range(NUM_KINDS):
            self._all_free.pop((pool, kind), None)

    def _left_of(self, job: JobRecord) -> int:
        assert job.sweep is not None
        return self._group_left.setdefault(job.sweep.uid, job.sweep.allowed or 0)

    def start(self, job: JobRecord) -> bool:
        """Place the job if it may start and fits now. Returns whether it did."""
        return job.profile.number not in self._failed and self.refused(job) is None and self.fit(job)

    def fit(self, job: JobRecord) -> bool:
        """Place the job, which is not `refused`, in the first pool that has room now. Returns whether any had."""
        profile = job.profile
        if profile.number in self._failed:
            return False
        for pool in self.state.hosts.pools(profile.number):
            most_gpus, most_cpus = self.most_free(pool)
            if profile.shape.gpus > most_gpus or profile.shape.cpus > most_cpus:
                continue
            nodes = self.state.pools[pool].find(profile.shape, self.free_gpus[pool], self.free_cpus[pool])
            if nodes is not None:
                self._place(job, pool, nodes)
                return True
        self._failed.add(profile.number)
        return False

    def _place(self, job: JobRecord, pool: int, nodes: Ints) -> None:
        shape, names = job.profile.shape, self.state.pools[pool].names
        self.free_gpus[pool][nodes] -= shape.gpus
        self.free_cpus[pool][nodes] -= shape.cpus
        self.actions.append(Place(job.uid, self.state.pools[pool].name, tuple(names[n] for n in nodes.tolist())))
        self.started.add(job.uid)
        self._given[job.team] += job.profile.chips
        self._note_change(pool)
        self._open[job.profile.kind] -= job.profile.chips
        if job.sweep is not None and job.sweep.allowed is not None:
            self._group_left[job.sweep.uid] = self._left_of(job) - 1

    def hold(self, profile: Profile, pool: int, nodes: Ints) -> bool:
        """Keep on each of `nodes` as much of a bundle as is free from everything else. Returns whether any is."""
        return self.hold_chips(pool, nodes, (profile.shape.gpus, profile.shape.cpus))

    def hold_chips(self, pool: int, nodes: Ints, most: tuple[Ints | int, Ints | int]) -> bool:
        """Keep on each of `nodes` what is free, at `most` so many accelerators and CPUs. Returns whether any is."""
        some = False
        for free, held, wanted in zip(*self._kinds(pool), most, strict=True):
            kept = np.minimum(np.maximum(free[nodes], 0), wanted)
            free[nodes] -= kept
            held[nodes] += kept
            some |= bool(kept.any())
        self._note_change(pool)
        return some

    def _kinds(self, pool: int) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
        """Return what is free and what is held on the pool's nodes, of accelerators and of CPUs each."""
        return (self.free_gpus[pool], self.free_cpus[pool]), (self.held_gpus[pool], self.held_cpus[pool])

    def anything_free(self, profile: Profile) -> bool:
        """Say whether any pool that could hold the profile has any chip of its kind free."""
        hosts = self.state.hosts.pools(profile.number)
        return any(self.most_free(pool)[profile.kind] > 0 for pool in hosts)

    def unhold(self, pool: int, nodes: Ints) -> tuple[Ints, Ints]:
        """Let what is held on `nodes` be used by others after all (backfill that will be gone in time).

        Returns how many accelerators and CPUs were held on each, for whoever holds them again.
        """
        before = self.held_gpus[pool][nodes], self.held_cpus[pool][nodes]
        for free, held in zip(*self._kinds(pool), strict=True):
            free[nodes] += held[nodes]
            held[nodes] = 0
        self._note_change(pool)
        self._failed.clear()
        return before


def _joined(columns: Sequence[Ints]) -> Ints:
    return np.concatenate(columns) if columns else np.zeros(0, dtype=np.int64)
