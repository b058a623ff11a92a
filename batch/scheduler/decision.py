"""What to do now: start, make room, hold room. A pure function of the state.

The order is fixed: first those for whom room is being made; then the jobs that should have chips, in order of value,
which start if they fit, preempt if they have been patient, or hold room; then whatever fits beside what is held, and
behind it if it will be gone in time, so that no chip idles that somebody could use.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from batch.events import PACKING
from batch.model import Tier
from batch.scheduler.actions import Action, Preempt, Reserve, Wait
from batch.scheduler.allotment import allot
from batch.scheduler.arrays import Floats, Ints
from batch.scheduler.draft import Draft
from batch.scheduler.forecast import LATE, MEDIAN, Forecast
from batch.scheduler.jobs import JobRecord
from batch.scheduler.learner import bin_of
from batch.scheduler.policy import (
    NUM_SEVERITIES,
    always_preempts,
    bill_chip_s,
    patience_s,
    served_soon,
    severities_from_s,
    severity,
)
from batch.scheduler.preemption import Eviction, Preemptor
from batch.scheduler.ranking import Ranking, rank
from batch.scheduler.reasons import reason_of
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_CURRENT_S = 1.0
"""A decision explains the state for so long, if nothing happens."""

_MOST_TRIED = 16
"""Entries that are tried behind one gang that holds room."""

_DISPLACES = [any(always_preempts(tier, other) for other in Tier) for tier in Tier]
_NOWHERE = np.zeros(0, dtype=np.int64)


def decide(state: SchedulerState, now_s: float, *, explain: bool = False) -> list[Action]:
    """Return what to do at `now_s` (epoch seconds). Deterministic.

    Advances the state to `now_s` and changes nothing else: whoever acts writes the events, and nothing is assumed to
    have happened before they are applied. With `explain`, also a Reserve for the first blocked gangs of each pool and
    a Wait for each bucket, which change nothing but cost time.
    """
    state.advance(now_s)
    if state.waiting_count == 0:
        return []
    decision = state.decided = Decision(state)
    actions = decision.draft.actions
    return [*actions, *decision.explanations()] if explain else actions


def current_decision(state: SchedulerState) -> "Decision":
    """Return what would be decided now, or the last decision if nothing has happened in the second since."""
    known = state.decided
    if known is None or state.clock_s - known.draft.now_s >= _CURRENT_S:
        known = state.decided = Decision(state)
    return known


class Decision:
    """One decision. After construction `draft` has the actions, and `blocked` who holds room, first first."""

    def __init__(self, state: SchedulerState) -> None:
        self.state = state
        self._now_s = state.clock_s
        self.draft = Draft(state, self._now_s)
        self.ranking: Ranking = rank(state, self._now_s)
        self._keeps, self.wanted = allot(self.draft, self.ranking)
        self.forecast = Forecast(self.draft)
        self.blocked: list[tuple[JobRecord, int]] = []
        self._first_profile = len(state.pools) * NUM_KINDS
        self._homeless: set[int] = set()
        self._lost: set[tuple[int, ...]] = set()
        self._preemptor: Preemptor | None = None
        self._tokens: list[float] = state.shares.tokens.tolist()
        self._ahead_chips = [0.0] * NUM_KINDS
        self._start_claimants()
        self._start_wanted()
        self._backfill()
        self._backfill_behind()

    def _start_claimants(self) -> None:
        """Start those whose victims have left; keep for the others what is free already of the room made for them."""
        for uid, claim in self.state.claims.items():
            job = self.state.roster.find(uid)
            if job.placement is not None:
                self._keep_elsewhere(job, job.placement.pool)
                continue
            if job.bucket is None or self.draft.start(job):
                continue
            if claim.victims:
                _, pool, nodes = self.forecast.earliest(job.profile, MEDIAN)
            else:
                pool, nodes = self._target(job)
            if pool >= 0:
                self.draft.hold(job.profile, pool, nodes)
                self.blocked.append((job, pool))

    def _keep_elsewhere(self, mover: JobRecord, pool: int) -> None:
        """Keep the room at which a job can go on that saves in order to move: it gave up its own for nothing else."""
        shape, draft = mover.profile.shape, self.draft
        nodes = self.state.pools[pool].find(shape, draft.free_gpus[pool], draft.free_cpus[pool])
        if nodes is not None:
            draft.hold(mover.profile, pool, nodes)

    def _start_wanted(self) -> None:
        """Go through the jobs that should have chips; leave a bucket when nothing can be done for one of its jobs."""
        waiting, ranking = self.state.roster.waiting, self.ranking
        claimants = (self.state.roster.find(uid).bucket for uid in self.state.claims)
        claimed = {waiting.bucket(key).row for key in claimants if key is not None}
        heads: dict[int, Iterator[int]] = {}
        left: set[int] = set()
        entries = self.wanted.nonzero()[0]
        rows = ranking.row[entries]
        waited_s = self._now_s - waiting.table["stop_s"][rows]
        severities = np.searchsorted(severities_from_s(self.state.policy), waited_s, side="right")
        profiles, tiers = ranking.place[entries] - self._first_profile, ranking.tier[entries]
        columns = (column.tolist() for column in (entries, rows, self.wanted[entries], profiles, tiers, severities))
        for entry, row, count, *of_first in zip(*columns, strict=True):
            # What the columns say is true of a bucket's first job: where some have been served, the next is looked at.
            if row in left:
                continue
            if tuple(of_first) in self._lost and row not in heads and row not in claimed:
                left.add(row)
                profile = self.state.roster.profiles[of_first[0]]
                self._ahead_chips[profile.kind] += profile.chips
                continue
            uids = heads.get(row) or heads.setdefault(row, waiting.rows[row].uids())
            job = self._serve_bucket(uids, entry, count)
            if job is not None:
                left.add(row)
                self._note_lost(job)

    def _serve_bucket(self, uids: Iterator[int], entry: int, count: int) -> JobRecord | None:
        """Serve the next `count` jobs. Returns the first for which nothing can be done, None if there is none."""
        find = self.state.roster.find
        while count > 0 and (uid := next(uids, None)) is not None:
            job = find(uid)
            served = self._serve(job, entry, count)
            if served == 0:
                return job
            count -= served
            next(islice(uids, served - 1, served - 1), None)
        return None

    def _note_lost(self, job: JobRecord) -> None:
        """Note for what jobs like this one nothing can be done any more, whatever they are worth.

        By profile, tier, and whom they may stop at most; what is lost stays lost, for room and victims only get fewer.
        """
        profile, preemptor = job.profile, self._preemptor
        if preemptor is None or self.draft.could_fit(profile.number):
            return
        if profile.chips > 1 and profile.number not in self._homeless:
            return
        for level in range(NUM_SEVERITIES):
            if preemptor.gave_up(profile, job.tier, level):
                self._lost.add((profile.number, job.tier.rank, level))

    def _serve(self, job: JobRecord, entry: int, count: int) -> int:
        """Start the first of `count` jobs of a bucket, let it wait for room, make room or hold room for it.

        Returns of how many of them that settles the matter; 0 if nothing was done.
        """
        if job.uid in self.state.claims:
            return 1
        if self.draft.refused(job) is not None:
            return 0
        if self.draft.fit(job):
            return 1
        patience = self._patience_s(job)
        soon = min(count, self._served_soon(job, patience))
        eviction = None if soon else self._eviction(job, float(self.ranking.value[entry]), patience)
        if eviction is not None:
            self._preempt(job, eviction, priced=bool(self.ranking.priced[entry]))
            return 1
        if job.profile.chips == 1:
            self._ahead_chips[job.profile.kind] += max(1, soon)
            return soon
        self._ahead_chips[job.profile.kind] += job.profile.chips
        return int(self._hold_room(job))

    def _hold_room(self, job: JobRecord) -> bool:
        """Keep for a gang what is free where it gathers room. Returns whether anything is."""
        if job.profile.number in self._homeless:
            return False
        pool, nodes = self._target(job) if self.draft.anything_free(job.profile) else (-1, _NOWHERE)
        if pool < 0:
            self._homeless.add(job.profile.number)  # what is free only shrinks
            return False
        self.blocked.append((job, pool))
        return self.draft.hold(job.profile, pool, nodes)

    def _jobs(self, entry: int, count: int) -> Iterator[JobRecord]:
        """Yield at most `count` jobs of the entry's bucket that this decision has not started, the first first."""
        find, bucket = self.state.roster.find, self.state.roster.waiting.rows[int(self.ranking.row[entry])]
        for uid in bucket.uids():
            if count == 0:
                return
            if uid not in self.draft.started:
                count -= 1
                yield find(uid)

    def _patience_s(self, job: JobRecord) -> float:
        rate = float(self.state.learner.rates[job.cell, bin_of(job.attained_s)])
        return patience_s(rate, job.attained_s > 0, job.tier, self.state.policy)

    def _served_soon(self, job: JobRecord, patience: float) -> int:
        """Return how many jobs like this one need not preempt. What is urgent by tier, deadline or guarantee may."""
        policy, beyond_s = self.state.policy, self._now_s - job.stop_s - patience
        urgent = job.due or job.deadline_s is not None or job.tier is Tier.INTERACTIVE
        if urgent or beyond_s < 0 or policy.soon_s == 0:
            return 0
        comes = self.forecast.released_chips_per_s(job.profile) * policy.soon_s
        room = comes - self._ahead_chips[job.profile.kind]
        return served_soon(beyond_s, room, job.profile.chips, policy)

    def _eviction(self, job: JobRecord, value: float, patience: float) -> Eviction | None:
        """Return whom to stop for the job; None while it has to be patient, or if nobody suitable would make room."""
        waited_s = self._now_s - job.stop_s
        patient = waited_s >= patience and self._tokens[job.share] >= 1.0
        if not patient and not _DISPLACES[job.tier.rank]:
            return None
        self._preemptor = self._preemptor or Preemptor(self.draft, self.ranking, self._keeps)
        harsh = severity(waited_s - patience, self.state.policy)
        eviction = self._preemptor.choose(job, value, patient=patient, severity=harsh)
        if eviction is None and patient and job.profile.chips > 1:
            return self._preemptor.move(job, severity=harsh)
        return eviction

    def _preempt(self, job: JobRecord, eviction: Eviction, *, priced: bool) -> None:
        assert self._preemptor is not None
        moves = bool(eviction.destinations)
        for row in eviction.rows:
            victim = self.state.running.records[row]
            always = always_preempts(job.tier, victim.tier) and not moves
            reason = PACKING if moves else "tier" if always else "entitlement" if priced else "order"
            unsaved_s = float(self._preemptor.unsaved_s[row])
            bill = bill_chip_s(victim.profile.chips, unsaved_s, self.state.policy)
            self.draft.actions.append(Preempt(victim.uid, job.uid, reason, bill))
            self._tokens[job.share] -= not always
        for row, nodes in zip(eviction.rows, eviction.destinations, strict=moves):
            self.draft.hold(self.state.running.records[row].profile, eviction.pool, nodes)
        self.draft.hold(job.profile, eviction.pool, eviction.nodes)
        self.blocked.append((job, eviction.pool))

    def _target(self, job: JobRecord) -> tuple[int, Ints]:
        """Return the pool and nodes on which a gang should gather room: where it will be there first; else pool -1.

        In a pool of as many nodes as the gang wants, every gang holds; among more nodes, one gang of each pool does, in
        the pool with the most free.
        """
        shape = job.profile.shape
        free = self.draft.free_gpus if job.profile.kind == 0 else self.draft.free_cpus
        hosts = self.state.hosts.pools(job.profile.number)
        if len(hosts) == 1:
            possible = self.state.pools[hosts[0]].admits(shape).nonzero()[0]
            if len(possible) == shape.nodes:
                return hosts[0], possible
        taken = {pool for _, pool in self.blocked}
        most, pool = max(((int(free[pool].sum()), pool) for pool in hosts if pool not in taken), default=(0, -1))
        if most <= 0:
            return -1, _NOWHERE
        _, nodes = self.forecast.gang_start(job.profile, pool, MEDIAN)
        return (pool, nodes) if len(nodes) else (-1, _NOWHERE)

    def _backfill(self) -> None:
        """Start whatever fits into what is neither used nor held, in order of value."""
        most_free = [self.draft.most_free(pool) for pool in range(len(self.state.pools))]
        for entry in self._possible(self._fitting(most_free, self.draft.could_fit)):
            for job in self._jobs(entry, int(self.ranking.count[entry])):
                if job.stop_s >= self._now_s and job.attained_s > 0:
                    continue  # it was stopped just now, for somebody
                if not self.draft.start(job):
                    break

    def _possible(self, entries: Ints) -> Iterator[int]:
        """Yield those of `entries` of whose profile no job has been found not to fit by then."""
        profiles = self.ranking.place[entries] - self._first_profile
        for entry, profile in zip(entries.tolist(), profiles.tolist(), strict=True):
            if self.draft.could_fit(profile):
                yield entry

    def _fitting(self, most_free: Sequence[tuple[int, int]], among: Callable[[int], bool] | None = None) -> Ints:
        """Return the entries of waiting jobs of which a bundle may fit where so much is free: pairs by kind.

        With `among`, only of the profiles for which it holds. Often that is none, and no entry is looked at.
        """
        most = [max([0, *(free[kind] for free in most_free)]) for kind in range(NUM_KINDS)]
        return self._entries_of(
            profile.number
            for profile in self.state.roster.profiles
            if profile.bundle <= most[profile.kind] and (among is None or among(profile.number))
        )

    def _entries_of(self, profiles: Iterable[int]) -> Ints:
        """Return the entries of waiting jobs of these profiles."""
        columns = [self._first_profile + profile for profile in profiles]
        if not columns:
            return _NOWHERE
        places = np.zeros(self._first_profile + len(self.state.roster.profiles), dtype=np.bool_)
        places[columns] = True
        return np.asarray(places[self.ranking.place].nonzero()[0])

    def _backfill_behind(self) -> None:
        """Start on held nodes what will almost surely have ended before the gang that holds them can start."""
        late_s = None
        for job, pool in self.blocked[: len(self.state.pools)]:
            kinds = self.draft.held_gpus[pool], self.draft.held_cpus[pool]
            held = self._fitting([(int(kinds[0].max(initial=0)), int(kinds[1].max(initial=0)))])[:_MOST_TRIED]
            if not len(held) or job.uid in self.state.claims:
                continue
            shadow_s, nodes = self.forecast.gang_start(job.profile, pool, MEDIAN, held=True)
            late_s = self.state.durations.remaining_s(LATE) if late_s is None else late_s
            firsts = [(entry, next(self._jobs(entry, 1), None)) for entry in held.tolist()]
            brief = [entry for entry, first in firsts if first and self._late_s(first, late_s) <= shadow_s]
            if not brief or not len(nodes):
                continue
            before = self.draft.unhold(pool, nodes)
            for entry in self._possible(np.array(brief)):
                for other in self._jobs(entry, int(self.ranking.count[entry])):
                    is_brief = self._late_s(other, late_s) <= shadow_s  # those of a bucket have limits of their own
                    if other.uid == job.uid or not is_brief or not self.draft.start(other):
                        break
            self.draft.hold_chips(pool, nodes, before)  # of all gangs, this one's and others'

    def _late_s(self, job: JobRecord, late_s: Floats) -> float:
        """Return in how many seconds the job would very likely have ended if it started now."""
        learned = float(late_s[job.model, bin_of(job.attained_s)])
        return learned if job.time_limit_s is None else min(learned, job.time_limit_s)

    def explanations(self) -> list[Action]:
        """Return a Reserve for the first blocked gangs of each pool, and a Wait for each bucket."""
        out: list[Action] = [*self.reservations()]
        started = Counter(self.state.roster.find(uid).bucket for uid in self.draft.started)
        for bucket in self.state.roster.waiting.rows:
            first = next((uid for uid in bucket.uids() if uid not in self.draft.started), None)
            if first is not None:
                reason = reason_of(self.draft, self.state.roster.find(first))
                out.append(Wait(first, bucket.count - started[bucket.key], reason))
        return out

    def reservations(self, only: int | None = None) -> list[Reserve]:
        """Return who is next to get room in each pool, and when that is expected; with `only`, of that job alone."""
        out: list[Reserve] = []
        for pool, nodes in enumerate(self.state.pools):
            for job in self._gangs_of(pool):
                if only not in (None, job.uid):
                    continue
                first_s, _ = self.forecast.gang_start(job.profile, pool, MEDIAN, held=True)
                late_s, _ = self.forecast.gang_start(job.profile, pool, LATE, held=True)
                if first_s < float("inf"):
                    start_s = self._now_s + first_s
                    out.append(Reserve(job.uid, nodes.name, start_s, max(start_s, self._now_s + late_s)))
        return out

    def _gangs_of(self, pool: int) -> list[JobRecord]:
        """Return the first blocked gangs of the pool: those that hold room, then the most valuable of the others."""
        most = int(self.state.policy.reservations_per_pool)
        gangs = [job for job, where in self.blocked if where == pool][:most]
        waiting, hosts = self.state.roster.waiting, self.state.hosts
        known = {job.uid for job, _ in self.blocked} | self.draft.started
        profiles = (profile for profile in self.state.roster.profiles if profile.chips > 1)
        entries = self._entries_of(profile.number for profile in profiles if pool in hosts.pools(profile.number))
        for row in self.ranking.row[entries].tolist():
            if len(gangs) >= most:
                break
            first = next((uid for uid in waiting.rows[row].uids() if uid not in known), None)
            gangs += [] if first is None else [self.state.roster.find(first)]
        return gangs
