"""Whom to stop for whom: the least valuable and cheapest, by node, and never without need.

Small jobs that lie in the way of a gang, while enough is free elsewhere, are stopped to go on there.
"""

from dataclasses import dataclass, replace

import numpy as np

from batch.model import Tier
from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.draft import Draft
from batch.scheduler.jobs import JobRecord
from batch.scheduler.policy import Victims, always_preempts
from batch.scheduler.profiles import Profile
from batch.scheduler.ranking import Ranking
from batch.scheduler.state import SchedulerState

_NOBODY: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Eviction:
    """Stopping the jobs of running rows `rows` makes room on `nodes` of `pool`.

    If they only move, `destinations` has the nodes on which each of them can go on.
    """

    pool: int
    nodes: Ints
    rows: tuple[int, ...]
    destinations: tuple[Ints, ...] = ()


def unsaved_s(state: SchedulerState, now_s: float) -> Floats:
    """Return for each running row how much work stopping it is charged with, in seconds.

    Time since the last durable checkpoint; where none was reported, the median of those who report (and not more than
    the run so far), so that nobody is safer by keeping silent, nor preferred as a victim for reporting.
    """
    table = state.running.table
    ran = now_s - table["start_s"]
    reports = table["saved_s"] >= 0
    since = now_s - table["saved_s"]
    typical = _median(since[reports]) if reports.any() else state.policy.assumed_checkpoint_age_s
    return np.asarray(np.where(reports, np.minimum(since, ran), np.minimum(ran, typical)))


def _median(values: Floats) -> float:
    """Return the median, as np.median does, at a fraction of its overhead."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    parted = np.partition(values, (low, high))
    return float((parted[low] + parted[high]) / 2)


class Preemptor:
    """Chooses victims within one decision."""

    def __init__(self, draft: Draft, ranking: Ranking, keeps: Bools) -> None:
        self._draft = draft
        self._state = state = draft.state
        table = state.running.table
        self.unsaved_s = unsaved_s(state, draft.now_s)
        self._ran_s = draft.now_s - table["start_s"]
        self._value = np.full(table.count, np.inf)
        self._value[ranking.run_rows] = ranking.value[ranking.runs]
        bound = table["stopping"] | table["fixed"]
        of_age = self._ran_s >= state.policy.minimum_run_s - 1
        self._loose = ~(keeps | bound)
        self._tier = table["tier"]
        self._stale = self.unsaved_s > state.policy.checkpoint_age_s
        self._hardness = np.where(self._stale, np.where(table["saved_s"] >= 0, 2, 1), 0)
        self._dearness = self._value
        self._grown_up = self._loose & of_age
        self._always = {
            (waiting, running): self._loose & (self._tier == running.rank)
            for waiting in Tier
            for running in Tier
            if always_preempts(waiting, running)
        }
        self._movable = of_age & ~bound & (table["node"] >= 0)
        self._bills = table["chips"] * (self.unsaved_s + state.policy.save_s + state.policy.restart_s)
        if state.policy.victims is Victims.YOUNGEST:
            self._stale, self._dearness, self._bills = np.zeros_like(self._stale), self._ran_s, self._ran_s
            self._hardness = np.zeros_like(self._hardness)
        self._first_node = np.array(draft.first_node)
        self._hopeless: dict[tuple[int, int, bool], int] = {}
        self._stuck: dict[int, int] = {}

    def choose(self, job: JobRecord, value: float, *, patient: bool, severity: int) -> Eviction | None:
        """Return whom to stop so that `job`, worth `value` (1/s), can start; None if nobody suitable would make room.

        `patient`: it has waited long enough to displace less valuable jobs; otherwise only what it always may.
        `severity`: whom it may stop though much of their work is unsaved (policy.severity).
        """
        # Later jobs of the same profile are worth less and find fewer victims left.
        key = (job.profile.number, job.tier.rank, patient)
        if severity <= self._hopeless.get(key, -1):
            return None
        rows = self._suitable(job, value if patient else -np.inf, severity)
        pools = self._hopeful(job, rows) if len(rows) else ()
        rows = self._in_turn(rows) if pools else rows
        for pool in pools:
            here = rows[self._state.running.table["pool"][rows] == pool]
            eviction = self._by_node(job, pool, here) if len(here) else None
            if eviction is not None:
                self._take(eviction)
                return eviction
        if not job.preempted_by:
            self._hopeless[key] = severity
        return None

    def move(self, job: JobRecord, *, severity: int) -> Eviction | None:
        """Return whom to move to other nodes so that `job` can start; None if that does not make room.

        Whoever has a right to the chips keeps it: enough is free for all, but lies in pieces on many nodes. Only jobs
        on one node move, of which less than one bundle of `job`, and which fit into what is free on other nodes.
        """
        number = job.profile.number
        if severity <= self._stuck.get(number, -1):
            return None
        table = self._state.running.table
        pools = [pool for pool in self._state.hosts.pools(number) if self._has_room_in_pieces(job, pool)]
        rows = self._in_the_way(job, severity) if pools else _NOBODY
        hopeful = self._hopeful(job, rows) if len(rows) else ()
        for pool in (pool for pool in pools if pool in hopeful):
            here = rows[table["pool"][rows] == pool]
            here = here[self._bills[here].argsort(kind="stable")]
            eviction = self._by_node(job, pool, here) if len(here) else None
            destinations = None if eviction is None else self._destinations(eviction)
            if eviction is not None and destinations is not None:
                self._take(eviction)
                return replace(eviction, destinations=destinations)
        if not job.preempted_by:
            self._stuck[number] = severity
        return None

    def gave_up(self, profile: Profile, tier: Tier, severity: int) -> bool:
        """Say whether nobody is to be stopped or moved any more for a job of the profile and tier.

        Nor is for one that is not patient, for whom fewer may be stopped.
        """
        hopeless = severity <= self._hopeless.get((profile.number, tier.rank, True), -1)
        return hopeless and (profile.chips == 1 or severity <= self._stuck.get(profile.number, -1))

    def _in_the_way(self, job: JobRecord, severity: int) -> Ints:
        """Return running rows that may be moved for the job."""
        ok = self._movable & (self._state.running.table["bundle_gpus"] < job.profile.shape.gpus)
        return self._not_preemptors(job, (ok & (self._hardness <= severity)).nonzero()[0])

    def _has_room_in_pieces(self, job: JobRecord, pool: int) -> bool:
        """Say whether as much is free in the pool as the job wants. Moving others frees nothing: it needs that much."""
        return self._draft.all_free(pool, job.profile.kind) >= job.profile.chips

    def _destinations(self, eviction: Eviction) -> tuple[Ints, ...] | None:
        """Return for each of the evicted where it fits instead, the largest placed first; None unless all fit."""
        running, nodes = self._state.running, self._state.pools[eviction.pool]
        gpus, cpus = self._draft.free_gpus[eviction.pool].copy(), self._draft.free_cpus[eviction.pool].copy()
        gpus[eviction.nodes] = cpus[eviction.nodes] = 0
        found: dict[int, Ints] = {}
        for row in sorted(eviction.rows, key=lambda row: -float(running.table["chips"][row])):
            shape = running.records[row].profile.shape
            where = nodes.find(shape, gpus, cpus)
            if where is None:
                return None
            gpus[where] -= shape.gpus
            cpus[where] -= shape.cpus
            found[row] = where
        return tuple(found[row] for row in eviction.rows)

    def _take(self, eviction: Eviction) -> None:
        """Let nobody else have the victims."""
        gone = list(eviction.rows)
        self._grown_up[gone] = False
        self._movable[gone] = False
        for mask in self._always.values():
            mask[gone] = False

    def _suitable(self, job: JobRecord, value: float, severity: int) -> Ints:
        """Return running rows that may be stopped for the job."""
        ok = self._grown_up & (self._value < value) & (self._hardness <= severity)
        for (waiting, _), always in self._always.items():
            if waiting is job.tier:
                ok |= always
        return self._not_preemptors(job, ok.nonzero()[0])

    def _in_turn(self, rows: Ints) -> Ints:
        """Return `rows` in the order in which they should be stopped."""
        return np.asarray(rows[np.lexsort((self._dearness[rows], self._stale[rows], -self._tier[rows]))])

    def _not_preemptors(self, job: JobRecord, rows: Ints) -> Ints:
        """Return `rows` without those for whom `job` was stopped before."""
        if not job.preempted_by:
            return rows
        uids = self._state.running.table["uid"][rows].tolist()
        return rows[np.array([uid not in job.preempted_by for uid in uids], dtype=np.bool_)]

    def _by_node(self, job: JobRecord, pool: int, rows: Ints) -> Eviction | None:
        """Free the nodes on which it costs least, stopping on each the first of `rows` that suffice."""
        shape, nodes, records = job.profile.shape, self._state.pools[pool], self._state.running.records
        free_gpus, free_cpus = self._draft.free_gpus[pool], self._draft.free_cpus[pool]
        fits = (free_gpus >= shape.gpus) & (free_cpus >= shape.cpus)
        short = set((nodes.admits(shape) & ~fits).nonzero()[0].tolist())
        # One number after the other: lists, for of an array each would be made an object first.
        gpus, cpus, cost = free_gpus.tolist(), free_cpus.tolist(), [0.0] * len(nodes.names)
        useful: dict[int, list[int]] = {}
        for row, bill in zip(rows.tolist(), self._bills[rows].tolist(), strict=True):
            if not short:
                break
            victim = records[row]
            assert victim.placement is not None
            for node in victim.placement.nodes:
                if node not in short:
                    continue
                gpus[node] += victim.profile.shape.gpus
                cpus[node] += victim.profile.shape.cpus
                cost[node] += bill
                useful.setdefault(node, []).append(row)
                if gpus[node] >= shape.gpus and cpus[node] >= shape.cpus:
                    short.remove(node)
        found = nodes.find(shape, np.array(gpus), np.array(cpus), np.array(cost))
        if found is None:
            return None
        chosen = {row for node in found.tolist() for row in useful.get(node, ())}
        needed = self._needed(job, pool, found, [row for row in rows.tolist() if row in chosen])
        return Eviction(pool, found, needed)

    def _hopeful(self, job: JobRecord, rows: Ints) -> list[int]:
        """Return the pools in which enough nodes would have room if all of `rows` stopped, topology aside."""
        shape, draft, first = job.profile.shape, self._draft, self._draft.first_node
        gpus, cpus = self._freed(rows)
        fits = (draft.all_gpus + gpus >= shape.gpus) & (draft.all_cpus + cpus >= shape.cpus)
        fits &= self._state.hosts.nodes(job.profile.number)
        if np.count_nonzero(fits) < shape.nodes:
            return []
        parts = [(pool, fits[first[pool] : first[pool + 1]]) for pool in self._state.hosts.pools(job.profile.number)]
        return [pool for pool, fit in parts if np.count_nonzero(fit) >= shape.nodes]

    def _freed(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return the accelerators and the CPUs of each node of all pools that `rows` give back if they stop."""
        bundles, table, num = self._state.running.bundles(), self._state.running.table, len(self._draft.all_gpus)
        stops = np.zeros(table.count, dtype=np.bool_)
        stops[rows] = True
        of = stops[bundles.row].nonzero()[0]
        row, node = bundles.row[of], bundles.node[of] + self._first_node[bundles.pool[of]]
        gpus, cpus = table["bundle_gpus"][row], table["bundle_cpus"][row]
        return np.asarray(np.bincount(node, gpus, num)), np.asarray(np.bincount(node, cpus, num))

    def _needed(self, job: JobRecord, pool: int, found: Ints, chosen: list[int]) -> tuple[int, ...]:
        """Return `chosen` without those that the others make superfluous, the last first."""
        shape, records = job.profile.shape, self._state.running.records
        free_gpus, free_cpus = self._draft.free_gpus[pool], self._draft.free_cpus[pool]
        spare = {n: [int(free_gpus[n]) - shape.gpus, int(free_cpus[n]) - shape.cpus] for n in found.tolist()}

        def shift(row: int, sign: int) -> bool:
            placement, bundle = records[row].placement, records[row].profile.shape
            assert placement is not None
            touched = [spare[node] for node in placement.nodes if node in spare]
            for left in touched:
                left[0] += sign * bundle.gpus
                left[1] += sign * bundle.cpus
            return all(left[0] >= 0 and left[1] >= 0 for left in touched)

        for row in chosen:
            shift(row, 1)
        needed = []
        for row in reversed(chosen):
            if not shift(row, -1):
                shift(row, 1)
                needed.append(row)
        return tuple(reversed(needed))
