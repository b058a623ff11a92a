"""The scheduler's picture of the queue, kept up to date event by event: what `decide` and `why` read.

The only ways in are `apply(event)`, in the journal's order, and `advance(now_s)`. The same events and times give the
same state, however they are spread over calls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from batch import events
from batch.model import Cause, JobSpec
from batch.scheduler.arrays import Floats, Ints
from batch.scheduler.durations import Durations
from batch.scheduler.hosts import Hosts
from batch.scheduler.jobs import JobRecord, Placement, RecalledSweep, SweepRecord
from batch.scheduler.learner import Learner, bin_of
from batch.scheduler.nodes import PoolNodes
from batch.scheduler.pieces import Pieces
from batch.scheduler.policy import PolicyConfig, always_preempts
from batch.scheduler.roster import OutcomeOf, Roster
from batch.scheduler.running import Running
from batch.scheduler.shares import Shares

if TYPE_CHECKING:
    from batch.scheduler.decision import Decision

Recall = Callable[[int], tuple[JobSpec, float] | RecalledSweep]
"""From the uid of a job to its specification, with what was changed since, and when it was submitted; of a member of a
sweep to the sweep."""


@dataclass(slots=True)
class Claim:
    """Room that is being made for one job: the victims that have not left yet, and how long it is kept afterwards.

    A job that moves to other nodes claims room there, and is what has to leave first.
    """

    victims: set[int] = field(default_factory=set)
    until_s: float = inf


class SchedulerState:
    """Index over the events so far. Not thread-safe: one thread applies, advances and decides.

    `clock_s` is the latest time seen; it never goes back, whatever the events' clock does. `pieces` is what the last
    ranking worked out, for the next one, `decided` the last decision, for whoever asks why, until anything happens: an
    event, a timer, a tick of the account.
    """

    def __init__(self, policy: PolicyConfig | None = None, recall: Recall | None = None) -> None:
        """`recall` is asked for a job that is over when it is to run again: it has left the memory then."""
        self.policy = policy or PolicyConfig()
        self._recall = recall
        self.clock_s = 0.0
        self.shares = Shares(self.policy)
        self.learner = Learner(self.policy.prior_weight)
        self.durations = Durations(self.learner, self.policy.prior_weight)
        self.roster = Roster(self.shares, self.durations, self.policy)
        self.running = Running(self.policy)
        self.pools: list[PoolNodes] = []
        self.pool_numbers: dict[str, int] = {}
        self.claims: dict[int, Claim] = {}
        self.pieces: Pieces | None = None
        self.decided: Decision | None = None
        self.hosts = Hosts(self.pools, self.roster.profiles)

    def ask_outcomes(self, outcome_of: OutcomeOf) -> None:
        """Ask `outcome_of` from now on how what is not in memory has ended, where a job depends on it.

        Called after a replay, in which everything is that somebody depended on until then.
        """
        self.roster.outcome_of = outcome_of

    @property
    def waiting_count(self) -> int:
        """Return how many jobs may start and have no place."""
        return self.roster.waiting.count

    def advance(self, now_s: float) -> None:
        """Let time pass until `now_s`: accounts, learning, timers. A time before `clock_s` is `clock_s`."""
        if now_s <= self.clock_s:
            return
        if self.clock_s == 0.0:
            self.clock_s = now_s
        while (timer_s := self.roster.next_timer_s()) <= now_s:
            self.decided = None
            self._pass_until(max(timer_s, self.clock_s))
            self.roster.fire(self.clock_s)
        self._pass_until(now_s)
        for uid in [uid for uid, claim in self.claims.items() if claim.until_s <= now_s]:
            del self.claims[uid]
            self.decided = None

    def _pass_until(self, now_s: float) -> None:
        grid = self.policy.rebuild_s
        if floor(now_s / grid) > floor(self.clock_s / grid):
            rebuild_s = floor(now_s / grid) * grid
            self.learner.enter_many(*self.running.newly_entered(rebuild_s))
            self.learner.rebuild()
            self.decided = None
        if self.shares.advance(self.clock_s, now_s):
            self.decided = None
        self.clock_s = now_s

    def apply(self, event: events.Event) -> None:
        """Take in one event, in the journal's order. Raises NotFoundError for a job that was never submitted."""
        if event.time_s > self.clock_s:
            self.advance(event.time_s)
        self.decided = None
        _HANDLERS[type(event)](self, event)

    def apply_checkpoints(self, time_s: float, uids: Ints, saved_s: Floats) -> None:
        """Take in one JobCheckpointed for each of `uids`, all with places, at once: the same state, sooner."""
        self.advance(time_s)
        self.decided = None
        column = self.running.table["uid"]
        order = np.argsort(column)
        self.running.table["saved_s"][order[np.searchsorted(column, uids, sorter=order)]] = saved_s

    def _team_set(self, event: events.TeamSet) -> None:
        self.shares.set_team(event.team)
        self.learner.grow(len(self.shares.teams))

    def _pool_set(self, event: events.PoolSet) -> None:
        self._pool(event.pool.name).set_pool(event.pool)
        self._measure()

    def _pool(self, name: str) -> PoolNodes:
        number = self.pool_numbers.setdefault(name, len(self.pools))
        if number == len(self.pools):
            self.pools.append(PoolNodes(name))
            self.hosts.forget()
        return self.pools[number]

    def _measure(self) -> None:
        open_pools = [pool for pool in self.pools if not pool.drained]
        gpus = sum(int(pool.gpus.sum()) for pool in open_pools)
        cpus = sum(int(pool.cpus.sum()) for pool in open_pools)
        self.shares.set_capacity(np.array([gpus, cpus], dtype=np.float64))
        self.hosts.forget()

    def _job_submitted(self, event: events.JobSubmitted) -> None:
        self._know_team(event.spec.team)
        self.roster.add_job(event.uid, event.spec, self.clock_s)

    def _sweep_submitted(self, event: events.SweepSubmitted) -> None:
        self._know_team(event.spec.template.team)
        self.roster.add_sweep(event.uid, event.first_uid, event.spec, self.clock_s)

    def _know_team(self, name: str) -> None:
        self.shares.number_of(name)
        self.learner.grow(len(self.shares.teams))

    def _job_held(self, event: events.JobHeld) -> None:
        def hold(job: JobRecord) -> None:
            job.held = True
            self.claims.pop(job.uid, None)

        self._each(event.uid, hold)

    def _job_released(self, event: events.JobReleased) -> None:
        def release(job: JobRecord) -> None:
            if job.held:
                job.held = False
                self.roster.depend_again(job)

        self._each(event.uid, release)

    def _job_changed(self, event: events.JobChanged) -> None:
        sweep = self.roster.sweeps.get(event.uid)
        if sweep is not None and event.max_running is not None:
            self._limit(sweep, event.max_running)

        def change(job: JobRecord) -> None:
            job.tier = event.tier or job.tier
            job.time_limit_s = job.time_limit_s if event.time_limit_s is None else event.time_limit_s
            job.deadline_s = job.deadline_s if event.deadline_s is None else event.deadline_s
            if job.placement is not None:
                self.running.refresh(job)

        self._each(event.uid, change)

    def _limit(self, sweep: SweepRecord, max_running: int) -> None:
        """Change how many members may run; a sweep without limits gets buckets of its own by that."""
        waiting = [job for job in self.roster.members(sweep) if job.bucket is not None]
        queued = sweep.queued
        self.roster.withdraw_untouched(sweep)
        for job in waiting:
            self.roster.withdraw(job)
        sweep.max_running = max_running
        for job in waiting:
            self.roster.admit(job, self.clock_s)
        if queued:
            self.roster.admit_untouched(sweep, self.clock_s)

    def _each(self, uid: int, change: Callable[[JobRecord], None]) -> None:
        """Change a job, or each member of a sweep that is not over and has no place."""
        sweep = self.roster.sweeps.get(uid)
        if sweep is None:
            self._alter(self.roster.touch(uid), change)
            return
        self.roster.withdraw_untouched(sweep)
        change(sweep.model)
        self.roster.admit_untouched(sweep, self.clock_s)
        for job in self.roster.members(sweep):
            if job.outcome is None and job.placement is None:
                self._alter(job, change)

    def _alter(self, job: JobRecord, change: Callable[[JobRecord], None]) -> None:
        self.roster.withdraw(job)
        change(job)
        self.roster.admit(job, self.clock_s)

    def _job_placed(self, event: events.JobPlaced) -> None:
        job = self.roster.touch(event.uid)
        self.roster.withdraw(job)
        self._vacate(job)
        pool = self._pool(event.pool)
        num_nodes = len(pool.names)
        nodes = pool.take(job.profile.shape, event.nodes)
        if len(pool.names) > num_nodes:
            self.hosts.forget()
        job.placement = Placement(event.attempt, self.pool_numbers[event.pool], nodes, self.clock_s, row=-1)
        job.placement.row = self.running.add(job)
        self.shares.use(job.share, job.profile.chips)
        self.shares.want(job.share, job.profile.chips)
        self.claims.pop(job.uid, None)
        if job.sweep is not None:
            self.roster.count_placed(job.sweep, 1)

    def _job_started(self, event: events.JobStarted) -> None:
        job = self.roster.find(event.uid)
        if job.placement is not None:
            job.placement.start_s = self.clock_s
            self.running.table.put(job.placement.row, "start_s", self.clock_s)

    def _job_checkpointed(self, event: events.JobCheckpointed) -> None:
        placement = self.roster.find(event.uid).placement
        if placement is not None:
            self.running.table.put(placement.row, "saved_s", event.saved_s)

    def _job_stopping(self, event: events.JobStopping) -> None:
        job = self.roster.find(event.uid)
        if job.placement is None:
            return
        job.placement.stopping = True
        self.running.table.put(job.placement.row, "stopping", True)
        if event.beneficiary is not None and self.roster.knows(event.beneficiary):
            job.preempted_by |= {event.beneficiary}
            self.claims.setdefault(event.beneficiary, Claim()).victims.add(job.uid)
            beneficiary = self.roster.find(event.beneficiary)
            self.shares.tokens[beneficiary.share] -= not always_preempts(beneficiary.tier, job.tier)
            if event.moves:  # after the beneficiary's: the room for it comes first
                self.claims.setdefault(job.uid, Claim({job.uid}))

    def _job_unknown(self, event: events.JobUnknown) -> None:
        self._set_unknown(event.uid, True)

    def _job_adopted(self, event: events.JobAdopted) -> None:
        self._set_unknown(event.uid, False)

    def _set_unknown(self, uid: int, unknown: bool) -> None:
        job = self.roster.find(uid)
        if job.placement is not None:
            job.placement.unknown = unknown
            self.running.table.put(job.placement.row, "fixed", unknown or job.due or not job.spec.preemptible)

    def _job_stopped(self, event: events.JobStopped) -> None:
        job = self.roster.touch(event.uid)
        if event.cause is Cause.PREEMPTION:
            job.preemptions += 1
        self._vacate(job)
        job.stop_s, job.eligible_s = self.clock_s, event.eligible_s
        job.held = event.then == "held"
        self.roster.admit(job, self.clock_s)

    def _job_ended(self, event: events.JobEnded) -> None:
        sweep = self.roster.sweeps.get(event.uid)
        if sweep is None:
            self._finish(self.roster.touch(event.uid), event.state)
            return
        self.roster.withdraw_untouched(sweep)
        for first, last in list(sweep.untouched):
            for uid in range(first, last + 1):
                self.roster.touch(uid)
        for job in self.roster.members(sweep):
            if job.outcome is None and job.placement is None:
                self._finish(job, event.state)

    def _finish(self, job: JobRecord, outcome: str) -> None:
        self.roster.withdraw(job)
        if job.placement is not None:
            self._vacate(job)
            if outcome != "cancelled":
                self.learner.end(job.cell, job.counted_bin)
                self.durations.end(job.model, job.attained_s)
        job.outcome = outcome
        job.preempted_by = frozenset()
        self.claims.pop(job.uid, None)
        sweep = job.sweep
        last = sweep is not None and sweep.count_end(outcome, 1)
        self.roster.end(job.uid, outcome == "succeeded", self.clock_s)
        self.roster.forget(job)
        if sweep is not None and last:
            self.roster.end(sweep.uid, sweep.succeeded == sweep.ended, self.clock_s)

    def _job_requeued(self, event: events.JobRequeued) -> None:
        if self._recall is not None and not self.roster.knows(event.uid):
            found = self._recall(event.uid)
            if isinstance(found, RecalledSweep):
                self.roster.recall_sweep(found)
            else:
                self.roster.recall(event.uid, *found)
        job = self.roster.touch(event.uid)
        if job.sweep is not None and job.outcome is not None:
            job.sweep.count_end(job.outcome, -1)
        job.outcome, job.stop_s, job.eligible_s, job.attained_s, job.counted_bin = None, self.clock_s, 0.0, 0.0, -1
        job.held = False
        self.roster.reopen(job)
        self.roster.admit(job, self.clock_s)

    def _vacate(self, job: JobRecord) -> None:
        """Give the job's place back, if it has one: nodes, chips, the account of its run time."""
        placement = job.placement
        if placement is None:
            return
        ran_s = max(0.0, self.clock_s - placement.start_s)
        job.attained_s += ran_s
        counted = max(job.counted_bin, int(self.running.table["counted"][placement.row]))
        job.counted_bin = max(counted, bin_of(job.attained_s))
        self.learner.enter(job.cell, counted, job.counted_bin)
        self.pools[placement.pool].give(job.profile.shape, placement.nodes)
        self.running.drop(placement.row)
        self.shares.use(job.share, -job.profile.chips)
        self.shares.want(job.share, -job.profile.chips)
        job.placement = None
        for claim in self.claims.values():
            claim.victims.discard(job.uid)
            if not claim.victims and claim.until_s == inf:
                claim.until_s = self.clock_s + self.policy.claim_s
        if job.sweep is not None:
            self.roster.count_placed(job.sweep, -1)


_HANDLERS: dict[type[events.Event], Callable[[SchedulerState, Any], None]] = {
    events.TeamSet: SchedulerState._team_set,
    events.PoolSet: SchedulerState._pool_set,
    events.JobSubmitted: SchedulerState._job_submitted,
    events.SweepSubmitted: SchedulerState._sweep_submitted,
    events.JobHeld: SchedulerState._job_held,
    events.JobReleased: SchedulerState._job_released,
    events.JobChanged: SchedulerState._job_changed,
    events.JobPlaced: SchedulerState._job_placed,
    events.JobStarted: SchedulerState._job_started,
    events.JobCheckpointed: SchedulerState._job_checkpointed,
    events.JobStopping: SchedulerState._job_stopping,
    events.JobUnknown: SchedulerState._job_unknown,
    events.JobAdopted: SchedulerState._job_adopted,
    events.JobStopped: SchedulerState._job_stopped,
    events.JobEnded: SchedulerState._job_ended,
    events.JobRequeued: SchedulerState._job_requeued,
}
