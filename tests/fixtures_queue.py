"""The queue as a plain model: what the journal says, applied event by event to dictionaries, with nothing compact.

Written from the meaning of the events and without the code of the store, so that each can be checked by the other.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from batch import events as ev
from batch.job_queue import Queue
from batch.model import Dependency, JobSpec, Shape, SweepSpec
from batch.records import Job, JobFilter
from batch.states import JobState

WAITING = {"held", "blocked", "queued"}
PLACED = {"launching", "running", "stopping", "unknown"}
OVER = {"succeeded", "failed", "cancelled"}
_FRESH = {"ended_s": None, "exit_code": None, "cause": None, "message": "", "metrics": ()}


def command(name: str = "", **fields: Any) -> JobSpec:
    """Return a small job."""
    return JobSpec(**{"kind": "command", "payload": {"argv": ["true"]}, "name": name, "shape": Shape(1, 1)} | fields)


def sweep_of(count: int, name: str = "", **fields: Any) -> SweepSpec:
    """Return a sweep of `count` members; fields of JobSpec go to the template."""
    own = {key: fields.pop(key) for key in ("max_running", "key") if key in fields}
    return SweepSpec(template=command(name, **fields), axes=(("seed", tuple(map(str, range(count)))),), **own)


class QueueModel:
    """Jobs by uid, members of sweeps among them, each a dictionary of what Job has."""

    def __init__(self) -> None:
        self.jobs: dict[int, dict[str, Any]] = {}
        self.members: dict[int, range] = {}
        self.teams: dict[str, Any] = {}
        self.pools: dict[str, Any] = {}

    def apply(self, event: ev.Event) -> None:
        """Apply an event of a journal, which is legal."""
        if isinstance(event, ev.TeamSet):
            self.teams[event.team.name] = event.team
        elif isinstance(event, ev.PoolSet):
            self.pools[event.pool.name] = event.pool
        elif isinstance(event, ev.JobSubmitted):
            self._submit(event.uid, event.spec, event.time_s, None)
        elif isinstance(event, ev.SweepSubmitted):
            uids = self.members[event.uid] = range(event.first_uid, event.first_uid + len(event.spec))
            for uid in uids:
                self._submit(uid, event.spec.template, event.time_s, event.uid)
        else:
            assert isinstance(event, ev.JobEvent)
            for uid in list(self.concerned(event)):
                self._happen(self.jobs[uid], event)
            if isinstance(event, ev.JobEnded):
                self._unblock(event.time_s)

    def concerned(self, event: ev.JobEvent) -> Iterator[int]:
        """Yield the job that an event is about, or the members of a sweep that are as it wants them."""
        if event.uid not in self.members:
            yield event.uid
            return
        wanted = {ev.JobHeld: {"queued", "blocked"}, ev.JobReleased: {"held"}}.get(type(event), WAITING)
        yield from (uid for uid in self.members[event.uid] if self.jobs[uid]["state"] in wanted)

    def allows(self, event: ev.JobEvent) -> bool:
        """Say whether the store must accept an event about one job."""
        job = self.jobs[event.uid]
        match event:
            case ev.JobPlaced():
                fits = len(event.nodes) == job["spec"].shape.nodes and event.fence > job["fence"]
                return job["state"] == "queued" and event.attempt == job["attempt"] + 1 and fits
            case ev.JobEnded() if job["state"] in WAITING:
                return (event.state, event.attempt) == ("cancelled", 0)
        is_current = job["state"] in PLACED and getattr(event, "attempt", None) == job["attempt"]
        return is_current and self._allows_of_attempt(job, event)

    def _allows_of_attempt(self, job: dict[str, Any], event: ev.JobEvent) -> bool:
        match event:
            case ev.JobStarted():
                return bool(job["state"] == "launching")
            case ev.JobStopping():
                return job["then"] != "cancelled" or event.then == "cancelled"
            case ev.JobUnknown():
                return bool(job["state"] != "unknown")
            case ev.JobAdopted():
                return bool(job["state"] == "unknown")
            case ev.JobStopped():
                can = event.then == "queued" or job["state"] in {"stopping", "unknown"}
                return can and job["then"] in {"", event.then}
        return True

    def is_met(self, dependency: Dependency) -> bool:
        """Say whether what is depended on has ended, and well where that is asked."""
        uids = self.members.get(dependency.uid, [dependency.uid])
        states = {self.jobs[uid]["state"] for uid in uids}
        return states <= ({"succeeded"} if dependency.ok else OVER)

    def waits(self, job: dict[str, Any]) -> bool:
        """Say whether a dependency of a job is not met."""
        return not all(map(self.is_met, job["after"]))

    def _submit(self, uid: int, spec: JobSpec, time_s: float, sweep: int | None) -> None:
        job = dict.fromkeys((field.name for field in dataclasses.fields(Job)), None) | {
            "uid": uid, "spec": spec, "after": spec.after, "submitted_s": time_s, "changed_s": time_s, "sweep": sweep,
            "then": "", "stop_now": False, "eligible_s": 0.0, "attempt": 0, "fence": 0, "pool": "", "nodes": (),
            "message": "", "metrics": (), "state": "queued",
        }  # fmt: skip
        if spec.held:
            job["state"] = "held"
        elif any(target not in self.jobs and target not in self.members for target in (d.uid for d in spec.after)):
            job["state"] = "blocked"  # by a job of the same submission
        elif self.waits(job):
            job["state"] = "blocked"
        self.jobs[uid] = job

    def _go(self, job: dict[str, Any], state: str, event: ev.Event) -> None:
        job.update(state=state, changed_s=event.time_s)

    def _happen(self, job: dict[str, Any], event: ev.JobEvent) -> None:
        match event:
            case ev.JobHeld():
                self._go(job, "held", event)
            case ev.JobReleased():
                self._go(job, "blocked" if self.waits(job) else "queued", event)
            case ev.JobRequeued():
                job.update(_FRESH, eligible_s=0.0)
                self._go(job, "blocked" if self.waits(job) else "queued", event)
            case ev.JobChanged():
                given = {n: getattr(event, n) for n in ("tier", "time_limit_s", "deadline_s")}
                changes = {name: value for name, value in given.items() if value is not None}
                job["spec"] = dataclasses.replace(job["spec"], **changes)
            case ev.JobPlaced():
                place = {"attempt": event.attempt, "fence": event.fence, "pool": event.pool, "nodes": event.nodes}
                job.update(_FRESH, **place, placed_s=event.time_s, started_s=None)
                self._go(job, "launching", event)
            case _:
                self._happen_to_attempt(job, event)

    def _happen_to_attempt(self, job: dict[str, Any], event: ev.JobEvent) -> None:
        match event:
            case ev.JobStarted():
                job["started_s"] = event.time_s
                self._go(job, "running", event)
            case ev.JobCheckpointed():
                if job["saved_s"] is None or event.saved_s >= job["saved_s"]:
                    job.update(saved_s=event.saved_s, step=job["step"] if event.step is None else event.step)
            case ev.JobStopping():
                job.update(then=event.then, stop_now=job["stop_now"] or event.now)
                if job["state"] != "stopping":
                    self._go(job, "stopping", event)
            case ev.JobUnknown():
                self._go(job, "unknown", event)
            case ev.JobAdopted():
                self._go(job, "stopping" if job["then"] else "running", event)
            case ev.JobStopped():
                job.update(_FRESH, then="", stop_now=False, eligible_s=event.eligible_s, ended_s=event.time_s)
                job.update(cause=event.cause, message=event.message)
                self._go(job, event.then, event)
            case ev.JobEnded():
                job.update(_FRESH, then="", stop_now=False, ended_s=event.time_s, exit_code=event.exit_code)
                job.update(cause=event.cause, message=event.message, metrics=event.metrics)
                self._go(job, event.state, event)

    def _unblock(self, time_s: float) -> None:
        for job in self.jobs.values():
            if job["state"] == "blocked" and not self.waits(job):
                job.update(state="queued", changed_s=time_s)


def fold(journal: Iterable[ev.Event]) -> QueueModel:
    """Return the model after all events of a journal."""
    model = QueueModel()
    for event in journal:
        model.apply(event)
    return model


def journal_of(queue: Queue) -> list[ev.Event]:
    """Return all events; checks that their seqs have no gaps and that time never goes back."""
    found: list[tuple[int, ev.Event]] = []
    while part := queue.events(after=found[-1][0] if found else 0, limit=5000):
        found += part
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    times = [event.time_s for _, event in found]
    assert times == sorted(times)
    return [event for _, event in found]


def seen(job: Job) -> dict[str, Any]:
    """Return what a job says, as the model would."""
    fields = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    return fields | {"state": job.state.text, "index": None, "overrides": None}


def expected(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the model says of a job, without what only the model has."""
    return {name: value for name, value in job.items() if name != "after"} | {"index": None, "overrides": None}


def assert_rows_are_the_fold(queue: Queue) -> QueueModel:
    """Check every job, member and count against the fold of the journal; returns the fold."""
    model = fold(journal_of(queue))
    rows = {job.uid: job for job in queue.jobs(JobFilter(members=True, newest=False, limit=10**9))}
    assert list(rows) == sorted(model.jobs)
    for uid, job in rows.items():
        assert seen(job) == expected(model.jobs[uid])
    for sweep, uids in model.members.items():
        found = queue.sweep(sweep)
        states = [model.jobs[uid]["state"] for uid in uids]
        assert {state.text: count for state, count in found.counts.items()} == {s: states.count(s) for s in states}
    assert (queue.teams(), queue.pools()) == (model.teams, model.pools)
    return model


def unfinished(model: QueueModel) -> dict[int, dict[str, Any]]:
    """Return the jobs that are not over, without payload and name, as a replay has them."""
    return {
        uid: expected(job) | {"spec": dataclasses.replace(job["spec"], payload={}, name="")}
        for uid, job in model.jobs.items()
        if not JobState.of(job["state"]).is_terminal
    }
