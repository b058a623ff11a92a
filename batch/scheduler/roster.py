"""All jobs and sweeps, and which of them may start: holds, dependencies, times before which nothing starts, breakers.

What may not start is in no bucket; it is found again by the event or the timer that it waits for.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from batch.errors import NotFoundError
from batch.model import Dependency, JobSpec, Shape, SweepSpec
from batch.scheduler.durations import Durations
from batch.scheduler.jobs import JobRecord, Ranges, RecalledSweep, SweepRecord
from batch.scheduler.learner import NUM_SIZES, bin_of, size_class
from batch.scheduler.policy import PolicyConfig, divisor_of, due_at_s
from batch.scheduler.profiles import Profile
from batch.scheduler.shares import NUM_KINDS, Shares
from batch.scheduler.waiting import DEADLINE_GRID_S, BucketKey, Waiting

OutcomeOf = Callable[[int], bool | None]
"""From the uid of a job or sweep to whether it has ended well; None while it is not over."""
_MOST_TERMS = 1024


class _Terms(NamedTuple):
    """What JobRecord has of a specification beside what anybody may change."""

    profile: Profile
    team: int
    share: int
    cell: int
    model: int


class Roster:
    """Jobs by uid, sweeps by the uids of their members, and the buckets of those that may start."""

    def __init__(self, shares: Shares, durations: Durations, policy: PolicyConfig) -> None:
        self.jobs: dict[int, JobRecord] = {}
        self.sweeps: dict[int, SweepRecord] = {}
        self.profiles: list[Profile] = []
        self.waiting = Waiting(shares.want, self._stop_of, self._allowed_of)
        self._shares = shares
        self._durations = durations
        self._policy = policy
        self._numbers: dict[tuple[Shape, str | None], int] = {}
        self._firsts: list[tuple[int, int]] = []
        self._dependents: dict[int, list[int]] = defaultdict(list)
        self._timers: list[tuple[float, int]] = []
        self._outcomes: dict[int, bool] = {}
        self.outcome_of: OutcomeOf | None = None
        self._terms: dict[int, tuple[JobSpec, _Terms]] = {}

    def add_job(self, uid: int, spec: JobSpec, now_s: float) -> None:
        """A job exists."""
        job = self.jobs[uid] = self._record(uid, spec, now_s)
        self._depend(job)
        self.admit(job, now_s)

    def add_sweep(self, uid: int, first_uid: int, spec: SweepSpec, now_s: float) -> None:
        """A sweep exists; its members are one entry of one bucket until something happens to one of them."""
        sweep = self._add_sweep(uid, first_uid, spec, now_s)
        self._depend(sweep.model)
        self.admit_untouched(sweep, now_s)

    def _add_sweep(self, uid: int, first_uid: int, spec: SweepSpec, since_s: float) -> SweepRecord:
        model = self._record(uid, spec.template, since_s)
        sweep = self.sweeps[uid] = SweepRecord(
            uid=uid,
            first_uid=first_uid,
            spec=spec,
            since_s=since_s,
            untouched=Ranges(first_uid, first_uid + len(spec) - 1),
            model=model,
            max_running=spec.max_running,
        )
        model.sweep = sweep
        insort(self._firsts, (first_uid, uid))
        return sweep

    def knows(self, uid: int) -> bool:
        """Say whether the job is in memory: it is not over, or a member of a sweep."""
        return uid in self.jobs or self._sweep_of(uid) is not None

    def find(self, uid: int) -> JobRecord:
        """Return the job; for an untouched member a new record like all its siblings'. Raises NotFoundError."""
        job = self.jobs.get(uid)
        if job is not None:
            return job
        sweep = self._sweep_of(uid)
        if sweep is None:
            raise NotFoundError(f"job {uid} is not in the scheduler's state: look at the id, or whether it is over")
        job = self._record(uid, sweep.spec.template, sweep.since_s)
        job.sweep = sweep
        model = sweep.model
        job.stop_s, job.eligible_s, job.held, job.unmet = model.stop_s, model.eligible_s, model.held, model.unmet
        job.tier, job.due = model.tier, model.due
        job.time_limit_s, job.deadline_s = model.time_limit_s, model.deadline_s
        job.bucket = self._key(job) if sweep.queued else None
        return job

    def touch(self, uid: int) -> JobRecord:
        """Return the job, with a record of its own from now on. Raises NotFoundError."""
        job = self.jobs.get(uid)
        if job is None:
            job = self.jobs[uid] = self.find(uid)
            assert job.sweep is not None
            job.sweep.untouched.remove(uid)
            for dependency in job.unmet:
                self._dependents[dependency].append(uid)
        return job

    def admit(self, job: JobRecord, now_s: float) -> None:
        """Put the job into its bucket if it may start, or set the timer that will try again."""
        if not self._may_start(job, now_s):
            return
        job.bucket = self._key(job)
        self.waiting.add(job.bucket, job.profile, (job.since_s, job.uid, job.uid))

    def withdraw(self, job: JobRecord) -> None:
        """Take the job out of its bucket, if it is in one."""
        if job.bucket is not None:
            key, job.bucket = job.bucket, None
            self.waiting.remove(key, job.since_s, job.uid, job.uid)

    def admit_untouched(self, sweep: SweepRecord, now_s: float) -> None:
        """Put all untouched members into their bucket if they may start."""
        if sweep.queued or not self._may_start(sweep.model, now_s):
            return
        sweep.queued = True
        key = self._key(sweep.model)
        for first, last in sweep.untouched:
            self.waiting.add(key, sweep.model.profile, (sweep.since_s, first, last))

    def withdraw_untouched(self, sweep: SweepRecord) -> None:
        """Take all untouched members out of their bucket."""
        if sweep.queued:
            sweep.queued = False
            key = self._key(sweep.model)
            for first, last in sweep.untouched:
                self.waiting.remove(key, sweep.since_s, first, last)

    def next_timer_s(self) -> float:
        """Return when the next job may become eligible; infinite if none waits for a time."""
        return self._timers[0][0] if self._timers else inf

    def fire(self, now_s: float) -> None:
        """Admit whatever waited for a time that is not after `now_s`."""
        while self._timers and self._timers[0][0] <= now_s:
            self._retry(heappop(self._timers)[1], now_s)

    def end(self, uid: int, ok: bool, now_s: float) -> None:
        """A job or sweep is over: let go what waited for it."""
        self._outcomes[uid] = ok
        sweep = self._sweep_of(uid)
        if sweep is not None:
            self.waiting.refresh(sweep.uid)
        for dependent in self._dependents.pop(uid, ()):
            target = self._target(dependent)
            if target is None or uid not in target.unmet:
                continue
            if not ok and any(dependency.ok for dependency in target.spec.after if dependency.uid == uid):
                self._dependents[uid].append(dependent)  # until it has been run again, and well
                continue
            target.unmet -= {uid}
            if not target.unmet:
                self._depend(target)  # what was over before may run again
            self._retry(dependent, now_s)

    def forget(self, job: JobRecord) -> None:
        """A job that is over leaves the memory; of members of a sweep and of what has failed, that stays known.

        What is submitted later may depend on it: what nobody knows any more is over, and well.
        """
        if job.sweep is None:
            del self.jobs[job.uid]
            if self._outcomes[job.uid]:
                del self._outcomes[job.uid]

    def recall(self, uid: int, spec: JobSpec, since_s: float) -> JobRecord:
        """A job that was forgotten exists again, as it was submitted at `since_s`. It is not admitted yet."""
        job = self.jobs[uid] = self._record(uid, spec, since_s)
        return job

    def recall_sweep(self, found: RecalledSweep) -> None:
        """A sweep that was forgotten exists again, with all its members over."""
        sweep = self._add_sweep(found.uid, found.first_uid, found.spec, found.since_s)
        for uid, (outcome, spec) in found.members.items():
            job = self.touch(uid)
            job.outcome = outcome
            job.tier, job.time_limit_s, job.deadline_s = spec.tier, spec.time_limit_s, spec.deadline_s
            self._outcomes[uid] = outcome == "succeeded"
            sweep.count_end(outcome, 1)

    def reopen(self, job: JobRecord) -> None:
        """A job that was over runs again: who looks from now on waits for it, and for its sweep.

        What may start already stays so; the job itself waits for what is not over now.
        """
        self._outcomes.pop(job.uid, None)
        if job.sweep is not None:
            self._outcomes.pop(job.sweep.uid, None)
        self.depend_again(job)

    def depend_again(self, job: JobRecord) -> None:
        """Let the job wait for what is not as it wants it now: what was over before may run again."""
        self._depend(job)

    def count_placed(self, sweep: SweepRecord, by: int) -> None:
        """Count a member that got a place, or gave one back."""
        sweep.placed += by
        self.waiting.refresh(sweep.uid)

    def members(self, sweep: SweepRecord) -> list[JobRecord]:
        """Return the members that have records of their own."""
        members = range(sweep.first_uid, sweep.first_uid + len(sweep.spec))
        if len(members) > len(self.jobs):
            return [job for uid, job in self.jobs.items() if uid in members]
        return [self.jobs[uid] for uid in members if uid in self.jobs]

    def has_failed(self, dependency: Dependency) -> bool:
        """Say whether `dependency` can never be met: what it waits for is over, and not well."""
        return dependency.ok and self._outcomes.get(dependency.uid) is False

    def _retry(self, uid: int, now_s: float) -> None:
        sweep, job = self.sweeps.get(uid), self.jobs.get(uid)
        if sweep is not None:
            if not sweep.model.due:
                self.withdraw_untouched(sweep)
            self.admit_untouched(sweep, now_s)
        elif job is not None:
            if not job.due:
                self.withdraw(job)
            self.admit(job, now_s)

    def _may_start(self, job: JobRecord, now_s: float) -> bool:
        if job.held or job.unmet or job.placement is not None or job.outcome is not None or job.bucket is not None:
            return False
        if job.eligible_s > now_s:
            heappush(self._timers, (job.eligible_s, job.uid))
            return False
        if job.attained_s == 0:
            job.stop_s = max(job.stop_s, job.eligible_s)
        self._note_due(job, now_s)
        return True

    def _note_due(self, job: JobRecord, now_s: float) -> None:
        """Set whether a gang has waited so long that it is due, or the timer that will look again."""
        if job.profile.chips < self._policy.gang_guarantee_chips:
            return
        at_s = due_at_s(job.since_s, job.attained_s, job.profile.chips, self._policy)
        job.due |= at_s <= now_s
        if now_s < at_s < inf and not job.due:
            heappush(self._timers, (at_s, job.uid))

    def _depend(self, job: JobRecord) -> None:
        """Note what the job waits for now."""
        if not job.spec.after:
            return
        unmet = []
        for dependency in job.spec.after:
            outcome = self._outcome(dependency.uid)
            if outcome is None or (outcome is False and dependency.ok):
                unmet.append(dependency.uid)
                self._dependents[dependency.uid].append(job.uid)
        job.unmet = frozenset(unmet)

    def _outcome(self, uid: int) -> bool | None:
        """Return whether a job or sweep has ended well; None while it is not over.

        What is not in memory is over, and is asked for; with nobody to ask, as in a replay, it has ended well.
        """
        outcome = self._outcomes.get(uid)
        if outcome is not None or uid in self.sweeps or uid in self.jobs or self._sweep_of(uid) is not None:
            return outcome
        if self.outcome_of is None:
            return True
        outcome = self.outcome_of(uid)
        if outcome is not None:
            self._outcomes[uid] = outcome
        return outcome

    def _target(self, uid: int) -> JobRecord | None:
        """Return what waits under `uid`; None for a job that was cancelled while it waited, and is forgotten."""
        sweep = self.sweeps.get(uid)
        return self.jobs.get(uid) if sweep is None else sweep.model

    def _sweep_of(self, uid: int) -> SweepRecord | None:
        at = bisect_right(self._firsts, (uid, inf)) - 1
        if at < 0:
            return None
        sweep = self.sweeps[self._firsts[at][1]]
        return sweep if uid < sweep.first_uid + len(sweep.spec) else None

    def _stop_of(self, uid: int) -> float:
        job = self.jobs.get(uid)
        if job is not None:
            return job.stop_s
        sweep = self._sweep_of(uid)
        assert sweep is not None
        return sweep.model.stop_s

    def _allowed_of(self, group: int) -> int | None:
        return self.sweeps[group].allowed

    def _profile(self, shape: Shape, pool: str | None) -> Profile:
        number = self._numbers.get((shape, pool))
        if number is None:
            number = self._numbers[shape, pool] = len(self.profiles)
            bundle = shape.gpus or shape.cpus
            kind, divisor = 0 if shape.gpus else 1, divisor_of(shape.chips, self._policy)
            self.profiles.append(Profile(number, shape, pool, kind, shape.chips, bundle, divisor))
        return self.profiles[number]

    def _record(self, uid: int, spec: JobSpec, now_s: float) -> JobRecord:
        terms = self._terms_of(spec)
        return JobRecord(
            uid,
            spec,
            *terms,
            tier=spec.tier,
            since_s=now_s,
            stop_s=now_s,
            time_limit_s=spec.time_limit_s,
            deadline_s=spec.deadline_s,
            held=spec.held,
            eligible_s=spec.not_before_s or 0.0,
        )

    def _terms_of(self, spec: JobSpec) -> _Terms:
        """Return what follows from a specification, for good; after a restart many jobs share one."""
        known = self._terms.get(id(spec))
        if known is not None:
            return known[1]
        profile = self._profile(spec.shape, spec.pool)
        team = self._shares.number_of(spec.team)
        cell = team * NUM_SIZES + size_class(profile.chips)
        model = self._durations.model(cell, spec.recipe, profile.number)
        terms = _Terms(profile, team, team * NUM_KINDS + profile.kind, cell, model)
        if len(self._terms) >= _MOST_TERMS:
            self._terms.clear()
        self._terms[id(spec)] = spec, terms  # with it, so that no other specification gets its id
        return terms

    def _key(self, job: JobRecord) -> BucketKey:
        sweep, deadline_s = job.sweep, job.deadline_s
        return BucketKey(
            job.tier.rank,
            job.share,
            job.profile.number,
            job.cell,
            bin_of(job.attained_s),
            job.attained_s > 0,
            job.profile.kind,
            job.due,
            sweep.uid if sweep is not None and sweep.is_limited else -1,
            -1 if deadline_s is None else int(deadline_s // DEADLINE_GRID_S),
        )
