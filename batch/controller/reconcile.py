"""What an agent has beside what it should have: the events that follow, and what it is told to do. Pure.

Level-triggered: both answers depend on how things are, so that lost, repeated and late messages do no harm, and a
restart of either side needs nothing else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from batch.agent.messages import AttemptStatus, Forget, Grant, Limit, Stop
from batch.controller.outcomes import after_attempt, lost
from batch.events import JobAdopted, JobCheckpointed, JobEvent, JobStarted
from batch.model import Cause
from batch.records import Job
from batch.states import JobState

Spent = Callable[[int], Mapping[Cause, int]]
"""How many attempts of a job have ended of each cause."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What an agent is told."""

    start: tuple[Grant, ...] = ()
    stop: tuple[Stop, ...] = ()
    limit: tuple[Limit, ...] = ()
    forget: tuple[Forget, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.start or self.stop or self.limit or self.forget)


def news(
    placed: Mapping[int, Job], reported: Collection[AttemptStatus], spent: Spent, now_s: float
) -> Iterator[JobEvent]:
    """Yield what the journal does not know yet. `placed` are the pool's jobs by uid, `reported` what its agent has."""
    seen = set()
    for status in reported:
        job = _of(placed, status)
        if job is None:
            continue
        seen.add(job.uid)
        if job.state is JobState.UNKNOWN:
            yield JobAdopted(time_s=now_s, uid=job.uid, attempt=job.attempt)
        elif job.state is JobState.LAUNCHING and status.started_s is not None:
            yield JobStarted(time_s=now_s, uid=job.uid, attempt=job.attempt)
        yield from _checkpointed(job, status, now_s)
        if status.ended is not None:
            yield after_attempt(job, status.ended, spent(job.uid), now_s, has_saved=_has_saved(status))
    for job in placed.values():
        # What is launching was perhaps never offered; it is started, not lost.
        if job.uid not in seen and (job.state is not JobState.LAUNCHING):
            yield lost(job, spent(job.uid), now_s, f"the agent of pool {job.pool!r} does not have it")


def orders(
    placed: Mapping[int, Job], reported: Collection[AttemptStatus], over: Collection[int] = frozenset()
) -> Orders:
    """Return what the agent should do, once the events of `news` are durable and `placed` is as they say.

    `over` are the jobs of attempts that have ended which are so themselves.
    """
    stop, limit, forget, seen = [], [], [], set()
    for status in reported:
        job = _of(placed, status)
        if job is not None:
            seen.add(job.uid)
        if status.ended is not None:
            # Recorded, or of no interest: its fence is too old to count.
            if job is None:
                forget.append(Forget(uid=status.uid, attempt=status.attempt, is_over=status.uid in over))
        elif job is None:
            stop.append(Stop(uid=status.uid, attempt=status.attempt, now=True))
        elif job.then:
            stop.append(Stop(uid=status.uid, attempt=status.attempt, now=job.stop_now))
        elif status.time_limit_s != job.spec.time_limit_s:
            limit.append(Limit(uid=status.uid, attempt=status.attempt, time_limit_s=job.spec.time_limit_s))
    waiting = (job for job in placed.values() if job.uid not in seen and job.state is JobState.LAUNCHING)
    return Orders(tuple(map(grant_of, waiting)), tuple(stop), tuple(limit), tuple(forget))


def grant_of(job: Job) -> Grant:
    """Return the lease of the job's current attempt. Members of a sweep add `overrides` to the sweep's payload."""
    payload = dict(job.spec.payload)
    if job.overrides:
        payload["overrides"] = list(job.overrides)
    return Grant(
        uid=job.uid,
        id=job.id,
        attempt=job.attempt,
        fence=job.fence,
        kind=job.spec.kind,
        payload=payload,
        nodes=job.nodes,
        gpus=job.spec.shape.gpus,
        cpus=job.spec.shape.cpus,
        grace_s=job.spec.grace_s,
        time_limit_s=job.spec.time_limit_s,
        code=job.spec.code,
        born_s=job.submitted_s,
    )


def _of(placed: Mapping[int, Job], status: AttemptStatus) -> Job | None:
    job = placed.get(status.uid)
    return job if job is not None and (job.attempt, job.fence) == (status.attempt, status.fence) else None


def _has_saved(status: AttemptStatus) -> bool:
    """Return whether this attempt reported a checkpoint, and not one before it; both times are of the pool's clocks."""
    saved_s, started_s = status.progress.saved_s, status.started_s
    return saved_s is not None and started_s is not None and saved_s >= started_s


def _checkpointed(job: Job, status: AttemptStatus, now_s: float) -> Iterator[JobEvent]:
    saved_s = status.progress.saved_s
    if saved_s is not None and (job.saved_s is None or saved_s > job.saved_s):
        yield JobCheckpointed(
            time_s=now_s, uid=job.uid, attempt=job.attempt, saved_s=saved_s, step=status.progress.step
        )
