"""What the end of an attempt means for its job: over, or queued again within the budget of its cause. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from batch.credentials import masked_text
from batch.events import JobEnded, JobEvent, JobStopped
from batch.launcher import Ended
from batch.model import Cause
from batch.records import Job

UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How many attempts may end of one cause and be followed by another, and how long the job waits before it.

    The wait is `first_s` after the first, twice as long after each further one, and never longer than `most_s`.
    """

    budget: int
    first_s: float = 0.0
    most_s: float = 600.0

    def wait_s(self, spent: int) -> float:
        """Return the wait after `spent` earlier attempts that ended of this cause."""
        return min(self.most_s, self.first_s * 2.0 ** min(spent, 30))


RETRIES: dict[Cause, RetryRule] = {
    Cause.PREEMPTION: RetryRule(UNLIMITED),  # the scheduler's doing, and its own rate limits bound it
    Cause.INFRASTRUCTURE: RetryRule(10, first_s=5.0),
    Cause.LAUNCH: RetryRule(5, first_s=5.0),
    Cause.USER_CODE: RetryRule(0, first_s=30.0),
    Cause.OUT_OF_MEMORY: RetryRule(0, first_s=30.0),
    Cause.TIME_LIMIT: RetryRule(0),
    Cause.NO_PROGRESS: RetryRule(10, first_s=5.0),
}
"""The budgets of a job that says nothing; JobSpec.retries overrides them by cause."""

FREE_AFTER_S = 600.0
"""Who leaves with 75 after so long may do so any number of times, also without having reported a checkpoint."""


def after_attempt(
    job: Job, ended: Ended, spent: Mapping[Cause, int], now_s: float, *, has_saved: bool = False
) -> JobEvent:
    """Return the event for the end of the job's current attempt.

    `spent` counts the earlier attempts of the job by the cause that ended them. An attempt that was asked to stop goes
    where the request said, whatever its exit code: a program that dies of SIGTERM has stopped, not failed. One that
    succeeded all the same has succeeded. `has_saved`: it reported a checkpoint of its own.
    """
    if ended.state == "succeeded":
        return _over(job, "succeeded", ended, now_s)
    if job.then == "cancelled":
        return _over(job, "cancelled", ended, now_s)
    if job.then:
        return _again(job, Cause.PREEMPTION, ended, now_s, then=job.then)
    cause = ended.cause or (Cause.USER_CODE if ended.state == "failed" else _left(job, now_s, has_saved))
    rule = RETRIES[cause]
    used = spent.get(cause, 0)
    if used < job.spec.retries.get(cause, rule.budget):
        return _again(job, cause, ended, now_s, wait_s=rule.wait_s(used))
    return _over(job, "failed", ended, now_s, cause)


def _left(job: Job, now_s: float, has_saved: bool) -> Cause:
    """Return as what it counts that an attempt left by itself, to go on later: for nothing, some do so at once."""
    ran_s = 0.0 if job.placed_s is None else now_s - job.placed_s
    return Cause.PREEMPTION if has_saved or ran_s >= FREE_AFTER_S else Cause.NO_PROGRESS


def lost(job: Job, spent: Mapping[Cause, int], now_s: float, message: str) -> JobEvent:
    """Return the event for an attempt that is given up because nobody can say how it is."""
    return after_attempt(job, Ended(state="failed", cause=Cause.INFRASTRUCTURE, message=message), spent, now_s)


def _again(
    job: Job, cause: Cause, ended: Ended, now_s: float, *, then: str = "queued", wait_s: float = 0.0
) -> JobStopped:
    return JobStopped(
        time_s=now_s,
        uid=job.uid,
        attempt=job.attempt,
        cause=cause,
        then=then,
        eligible_s=now_s + wait_s,
        message=masked_text(ended.message),
    )


def _over(job: Job, state: str, ended: Ended, now_s: float, cause: Cause | None = None) -> JobEnded:
    return JobEnded(
        time_s=now_s,
        uid=job.uid,
        state=state,
        attempt=job.attempt,
        exit_code=ended.exit_code,
        cause=cause,
        message=masked_text(ended.message),
        metrics=tuple(sorted(ended.metrics.items())),
    )
