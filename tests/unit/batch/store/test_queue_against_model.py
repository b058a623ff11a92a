"""Random verbs, records, groups of requests and restarts: rows and journal stay what the plain model says."""

import copy
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from fixtures_queue import WAITING, assert_rows_are_the_fold, command, fold, sweep_of, unfinished
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from batch import events as ev, verbs
from batch.errors import ConflictError
from batch.job_queue import Queue
from batch.ledger import Ledger
from batch.model import Cause, Dependency, JobSpec, Shape

NUMBERS = st.integers(0, 10**6)
CAUSES = st.sampled_from(list(Cause))
VERBS: dict[str, Callable[[Ledger, int], object]] = {
    "hold": verbs.hold,
    "release": verbs.release,
    "requeue": verbs.requeue,
    "cancel": lambda ledger, uid: verbs.cancel(ledger, uid, now=False),
    "cancel now": lambda ledger, uid: verbs.cancel(ledger, uid, now=True),
    "change": lambda ledger, uid: verbs.change(ledger, uid, {"deadline_s": float(uid)}),
}


def events_of_attempts(uid: int, attempt: int, time_s: float, data: st.DataObject) -> ev.JobEvent:
    """Draw something that an agent or the scheduler might say, legal or not."""
    about: dict[str, Any] = {"time_s": time_s, "uid": uid, "attempt": attempt}
    goals = st.sampled_from(["queued", "held", "cancelled"])
    kinds: dict[str, Callable[[], ev.JobEvent]] = {
        "placed": lambda: ev.JobPlaced(
            **about | {"attempt": attempt + 1},
            fence=data.draw(st.integers(1, 6)),
            pool="p",
            nodes=data.draw(st.sampled_from([("a",), ("a", "b")])),
        ),
        "started": lambda: ev.JobStarted(**about),
        "saved": lambda: ev.JobCheckpointed(**about, saved_s=time_s - data.draw(st.integers(0, 9)), step=attempt),
        "stopping": lambda: ev.JobStopping(**about, then=data.draw(goals), reason="r", now=data.draw(st.booleans())),
        "unknown": lambda: ev.JobUnknown(**about),
        "adopted": lambda: ev.JobAdopted(**about),
        "stopped": lambda: ev.JobStopped(
            **about,
            cause=data.draw(CAUSES),
            then=data.draw(st.sampled_from(["queued", "held"])),
            eligible_s=time_s + 1,
            message="m",
        ),
        "ended": lambda: ev.JobEnded(
            **about, state=data.draw(st.sampled_from(["succeeded", "failed", "cancelled"])), metrics=(("loss", 1.0),)
        ),
    }
    return kinds[data.draw(st.sampled_from(sorted(kinds)))]()


class QueueAgainstModel(RuleBasedStateMachine):
    """`model` is the fold of the journal; the invariant rebuilds it and compares every row."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ostinato-queue-"))
        self.now_s = 100.0
        self.queue = Queue.open(str(self.folder / "queue.db"), clock=lambda: self.now_s)
        self.model = assert_rows_are_the_fold(self.queue)

    def teardown(self) -> None:
        self.queue.close()
        shutil.rmtree(self.folder)

    def pick(self, number: int, *, sweeps: bool = False) -> int:
        uids = sorted([*self.model.jobs, *(self.model.members if sweeps else ())])
        return uids[number % len(uids)]

    def specs(self, data: st.DataObject, count: int) -> list[JobSpec]:
        return [self.spec(data, index) for index in range(count)]

    def spec(self, data: st.DataObject, index: int) -> JobSpec:
        after = []
        if self.model.jobs and data.draw(st.booleans()):
            after.append(Dependency(self.pick(data.draw(NUMBERS), sweeps=True), data.draw(st.booleans())))
        if index and data.draw(st.booleans()):
            after.append(Dependency(-data.draw(st.integers(1, index)), data.draw(st.booleans())))
        nodes = data.draw(st.integers(1, 2))
        return command(shape=Shape(nodes, 1), held=data.draw(st.booleans()), after=tuple(after))

    @rule(data=st.data(), count=st.integers(1, 3))
    def submit(self, data: st.DataObject, count: int) -> None:
        uids = self.queue.submit(self.specs(data, count))
        assert min(uids) > max([*self.model.jobs, *self.model.members], default=0)

    @rule(data=st.data(), count=st.integers(1, 4))
    def submit_sweep(self, data: st.DataObject, count: int) -> None:
        template = self.spec(data, 0)
        spec = sweep_of(count, held=template.held, after=template.after, shape=template.shape)
        uid = self.queue.submit_sweep(spec)
        if uid in self.model.members:
            assert self.queue.sweep(uid).spec.axes == spec.axes

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), count=st.integers(1, 5), together=st.booleans())
    def record(self, data: st.DataObject, count: int, together: bool) -> None:
        """Events one after the other in one commit, or in one call, which is all or nothing."""
        events = [self.event(data) for _ in range(count)]
        gate = threading.Event()
        self.queue._writer.ask(lambda _: gate.wait(10))
        parts = [events] if together else [[event] for event in events]
        futures = [self.queue.record_soon(*part) for part in parts]
        gate.set()
        for part, future in zip(parts, futures, strict=True):
            error = future.exception(10)
            assert error is None or isinstance(error, ConflictError), error
            assert (error is None) == self.applied(part), part

    def event(self, data: st.DataObject) -> ev.JobEvent:
        uid = self.pick(data.draw(NUMBERS))
        attempt = max(0, self.model.jobs[uid]["attempt"] + data.draw(st.sampled_from([0, 0, 0, 0, -1])))
        return events_of_attempts(uid, attempt, self.now_s, data)

    def applied(self, events: list[ev.JobEvent]) -> bool:
        """Apply events to the model if it allows each after those before, and say whether it did."""
        trial = copy.deepcopy(self.model)
        for event in events:
            if not trial.allows(event):
                return False
            trial.apply(event)
        self.model = trial
        return True

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBERS, verb=st.sampled_from(sorted(VERBS)))
    def ask(self, number: int, verb: str) -> None:
        uid = self.pick(number, sweeps=True)
        before = self.queue.events(limit=10**6)
        try:
            self.queue._writer.ask(lambda ledger: VERBS[verb](ledger, uid)).result(10)
        except ConflictError:
            assert self.queue.events(limit=10**6) == before
            return
        states = {self.queue.job(member).state.text for member in self.model.members.get(uid, [uid])}
        if verb == "hold":
            assert not states & {"queued", "blocked"}
        if verb.startswith("cancel"):
            assert not states & WAITING

    @precondition(lambda self: self.model.jobs)
    @rule(asked=st.lists(st.tuples(NUMBERS, st.sampled_from(sorted(VERBS))), min_size=2, max_size=6))
    def ask_together(self, asked: list[tuple[int, str]]) -> None:
        """Several verbs in one commit: the invariant says whether they disturbed one another."""
        gate = threading.Event()
        self.queue._writer.ask(lambda _: gate.wait(10))
        uids = [self.pick(number, sweeps=True) for number, _ in asked]
        futures = [
            self.queue._writer.ask(lambda ledger, verb=verb, uid=uid: VERBS[verb](ledger, uid))
            for uid, (_, verb) in zip(uids, asked, strict=True)
        ]
        gate.set()
        for future in futures:
            assert isinstance(future.exception(10), ConflictError | None)

    @rule(seconds=st.sampled_from([1.0, 60.0, -30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def restart(self) -> None:
        self.queue.close()
        self.queue = Queue.open(str(self.folder / "queue.db"), clock=lambda: self.now_s)

    @rule()
    def replay(self) -> None:
        assert unfinished(fold(self.queue.replay(history=1))) == unfinished(fold_of(self.queue))

    @invariant()
    def rows_are_the_fold(self) -> None:
        self.model = assert_rows_are_the_fold(self.queue)


def fold_of(queue: Queue) -> Any:
    return fold(event for _, event in queue.events(limit=10**6))


def run_machine(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        QueueAgainstModel,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=examples < 100,
        ),
    )


def test_rows_and_journal_agree_with_the_model() -> None:
    run_machine(examples=20, steps=25)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_rows_and_journal_agree_with_the_model_for_long() -> None:
    run_machine(examples=400, steps=50)
