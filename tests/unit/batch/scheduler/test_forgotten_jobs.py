"""What is over leaves the scheduler's memory, and what depends on it, or runs it again, goes as if it had not."""

import gc
import tracemalloc

from fixtures_scheduler import START_S, Fleet

from batch import events
from batch.model import Dependency, JobSpec, Node, Pool, Shape
from batch.scheduler import SchedulerState

JOBS = 20_000
WARM = 2_000
GROWTH_BYTES = 300_000


def test_the_memory_does_not_grow_with_the_jobs_that_are_over() -> None:
    state = SchedulerState()
    state.apply(events.PoolSet(time_s=START_S, pool=Pool(name="p", nodes=(Node("n", 8, 64),))))
    tracemalloc.start()
    try:
        for uid in range(1, WARM):
            _run(state, uid)
        gc.collect()
        before_bytes, _ = tracemalloc.get_traced_memory()
        for uid in range(WARM, JOBS):
            _run(state, uid)
        gc.collect()
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(state.roster.jobs) == 0
    assert after_bytes - before_bytes < GROWTH_BYTES, "16 bytes a job at most"


def test_what_depends_on_a_forgotten_job_waits_as_if_it_were_known() -> None:
    queue = Fleet()
    queue.pool(nodes=1)
    good, bad = queue.submit(), queue.submit()
    queue.act()
    queue.end(good)
    queue.end(bad, "failed")
    assert not queue.state.roster.jobs
    after_ok = [queue.submit(after=(Dependency(uid),)) for uid in (good, bad)]
    after_any = [queue.submit(after=(Dependency(uid, ok=False),)) for uid in (good, bad)]
    queue.act()
    assert sorted(queue.places) == sorted([after_ok[0], *after_any])


def test_a_forgotten_job_runs_again_with_its_age() -> None:
    queue = Fleet()
    queue.pool(nodes=1)
    job = queue.submit(gpus=2)
    queue.act()
    queue.now_s += 3600
    queue.end(job, "failed")
    assert job not in queue.state.roster.jobs
    queue.now_s += 60
    queue.apply(events.JobRequeued(time_s=queue.now_s, uid=job))
    assert queue.state.roster.jobs[job].since_s == START_S
    queue.act()
    assert job in queue.places
    queue.end(job)
    assert queue.submit(after=(Dependency(job),)) in {action.uid for action in queue.act()}


def test_a_victim_of_what_is_over_already_is_no_claim() -> None:
    queue = Fleet()
    queue.pool(nodes=1)
    victim, beneficiary = queue.submit(), queue.submit(gpus=8)
    queue.act()
    queue.apply(events.JobEnded(time_s=queue.now_s, uid=beneficiary, state="cancelled", attempt=0))
    stopping = {"attempt": 1, "then": "queued", "reason": "share", "beneficiary": beneficiary}
    queue.apply(events.JobStopping(time_s=queue.now_s, uid=victim, **stopping))
    assert not queue.state.claims


def _run(state: SchedulerState, uid: int) -> None:
    """Let a job pass through."""
    now_s = START_S + uid
    spec = JobSpec(kind="command", payload={"command": ["true", str(uid)]}, shape=Shape(gpus=1), name=f"job-{uid}")
    state.apply(events.JobSubmitted(time_s=now_s, uid=uid, spec=spec))
    state.apply(events.JobPlaced(time_s=now_s, uid=uid, attempt=1, fence=uid, pool="p", nodes=("n",)))
    state.apply(events.JobStarted(time_s=now_s, uid=uid, attempt=1))
    state.apply(events.JobEnded(time_s=now_s + 0.5, uid=uid, state="succeeded", attempt=1))
