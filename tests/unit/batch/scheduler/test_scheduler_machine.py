"""Whatever legally happens: no node is over-allocated, no gang half placed, nobody stops whom it was stopped for."""

import random

import pytest
from fixtures_scheduler import Fleet, Tier
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from batch import events
from batch.model import Cause
from batch.scheduler import Place, PolicyConfig, why

TEAMS = st.sampled_from(["a", "b", "c"])
ANY = st.integers(0, 10**6)


WAITING = {"chips", "fragmented", "reserved", "quota", "sweep_limit", "breaker", "impossible", "drained", "next"}


class SchedulerMachine(RuleBasedStateMachine):
    """Random users, random ends, stops, losses, holds, on three nodes of eight and two of four accelerators."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Fleet(PolicyConfig(minimum_run_s=60.0, resume_patience_s=120.0, patience_max_s=120.0))
        self.queue.pool("p", nodes=3, racks=2)
        self.queue.pool("q", nodes=2, gpus=4)
        self.queue.team("b", weight=2.0, quota=12)
        self.held: set[int] = set()

    @rule(
        gpus=st.integers(0, 8), nodes=st.integers(1, 3), team=TEAMS, tier=st.sampled_from(list(Tier)),
        pool=st.sampled_from([None, "p", "q"]), same=st.sampled_from([None, "rack"]), preemptible=st.booleans(),
    )  # fmt: skip
    def submit(self, **about: object) -> None:
        self.queue.submit(**about)  # type: ignore[arg-type]

    @rule(members=st.integers(1, 40), limit=st.sampled_from([None, 1, 3]), breaker=st.sampled_from([None, 0.5]))
    def sweep(self, members: int, limit: int | None, breaker: float | None) -> None:
        self.queue.sweep(members, max_running=limit, stop_if_failed=breaker)

    @rule(seconds=st.sampled_from([0.0, 1.0, 60.0, 3600.0, 86400.0]))
    def wait(self, seconds: float) -> None:
        self.queue.now_s += seconds

    @rule(grace=st.booleans())
    def act(self, grace: bool) -> None:
        self.queue.act(grace=grace)

    def _one(self, number: int) -> int | None:
        uids = sorted(self.queue.places)
        return uids[number % len(uids)] if uids else None

    @rule(number=ANY, state=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def end(self, number: int, state: str) -> None:
        uid = self._one(number)
        if uid is not None:
            self.queue.end(uid, state)

    @rule(number=ANY, cause=st.sampled_from(list(Cause)), then=st.sampled_from(["queued", "queued", "held"]))
    def stop(self, number: int, cause: Cause, then: str) -> None:
        uid = self._one(number)
        if uid is not None:
            self.queue.stop(uid, cause, then=then)
            if then == "held":
                self.held.add(uid)

    @rule()
    def release(self) -> None:
        for uid in sorted(self.held):
            self.queue.apply(events.JobReleased(time_s=self.queue.now_s, uid=uid))
        self.held.clear()

    @rule(number=ANY)
    def save(self, number: int) -> None:
        uid = self._one(number)
        if uid is not None:
            self.queue.saved(uid)

    @rule(number=ANY, drained=st.booleans())
    def lose_or_drain(self, number: int, drained: bool) -> None:
        self.queue.pool("q", nodes=1 + number % 2, gpus=4, drained=drained)

    @rule(number=ANY)
    def ask_why(self, number: int) -> None:
        uids = sorted(uid for uid in self.queue.specs if self.queue.state.roster.knows(uid))
        if uids:
            answer = why(self.queue.state, uids[number % len(uids)], self.queue.now_s)
            assert answer.reason.text
            assert (answer.start_p50_s or 0.0) <= (answer.start_p90_s or 0.0)

    @invariant()
    def accounts_agree(self) -> None:
        state = self.queue.state
        assert self.queue.used("b") <= 12
        assert sorted(job.uid for job in state.running.records) == sorted(self.queue.places)
        chips = sum(self.queue.specs[uid].shape.chips for uid in self.queue.places)
        assert state.shares.used.sum() == chips
        assert (state.shares.demand >= state.shares.used).all()
        ready = (state.roster.waiting.table["count"] * state.roster.waiting.table["chips"]).sum()
        assert state.shares.demand.sum() == chips + ready
        for row, job in enumerate(state.running.records):
            assert job.placement is not None
            assert job.placement.row == row
        for row, bucket in enumerate(state.roster.waiting.rows):
            assert bucket.row == row
            assert bucket.count == len(list(bucket.uids())) > 0

    @invariant()
    def nothing_idles_that_somebody_could_use(self) -> None:
        """After acting, whoever could start is held back by a limit, a claim, or room that a gang gathers."""
        queue = self.queue
        if queue.stopping:
            return
        decision = queue.decide()
        starts = {action.uid for action in decision if isinstance(action, Place)}
        for bucket in queue.state.roster.waiting.rows:
            uid = next(bucket.uids())
            if uid not in starts:
                code = why(queue.state, uid, queue.now_s).reason.code
                assert code in WAITING
                job = queue.state.roster.find(uid)
                just_stopped = job.attained_s > 0 and job.stop_s >= queue.state.clock_s
                assert code != "next" or just_stopped or len(starts) > 0


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("seed", range(4))
def test_under_a_finite_load_everybody_finishes(seed: int) -> None:
    """Also the widest gang, under competition that goes on for three days, with preemption at every turn."""
    pick = random.Random(seed)
    queue = Fleet(PolicyConfig(patience_max_s=300.0, resume_patience_s=300.0))
    queue.pool(nodes=4)
    left: dict[int, float] = {}
    widest = queue.submit(gpus=8, nodes=4, team="wide")
    left[widest] = 3 * 3600.0
    for round_number in range(24 * 40):
        if round_number < 24 * 12:
            for _ in range(2):
                uid = queue.submit(gpus=pick.choice([1, 1, 2, 8]), team=pick.choice("ab"), tier=pick.choice(list(Tier)))
                left[uid] = pick.choice([300.0, 900.0, 7200.0])
        queue.act()
        queue.now_s += 900
        for uid in sorted(queue.places):
            left[uid] -= 900
            if left[uid] <= 0:
                queue.end(uid)
        if round_number > 24 * 12 and len(queue.ended) == len(left):
            break
    assert sorted(queue.ended) == sorted(left)


def replay(seed: int, durations: dict[int, float]) -> list[list[object]]:
    """Return all decisions of a day in which job n runs durations[n]."""
    pick = random.Random(seed)
    queue = Fleet()
    queue.pool(nodes=2)
    log: list[list[object]] = []
    begun: dict[int, float] = {}
    for _ in range(200):
        for _ in range(pick.randrange(3)):
            queue.submit(gpus=pick.choice([1, 2, 8]), team=pick.choice("ab"))
        log.append(list(queue.act()))
        queue.now_s += 120
        for uid in sorted(queue.places):
            begun.setdefault(uid, queue.now_s)
            if queue.now_s - begun[uid] >= durations[uid]:
                queue.end(uid)
    return log


def test_no_decision_depends_on_what_has_not_happened_yet() -> None:
    """Jobs that would run longer than the day: how much longer changes nothing; what is still to end neither."""
    pick = random.Random(7)
    durations = {uid: pick.choice([240.0, 1200.0, 10**6]) for uid in range(1, 1000)}
    longer = {uid: run * 3 if run == 10**6 else run for uid, run in durations.items()}
    assert replay(1, durations) == replay(1, longer)
    other_future = {uid: run if uid < 30 else 60.0 for uid, run in durations.items()}
    first, second = replay(1, durations), replay(1, other_future)
    same = next(n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    assert any(action.uid >= 30 for actions in first[:same] for action in actions if isinstance(action, Place))


def test_the_same_events_give_the_same_decisions_however_often_one_decides() -> None:
    def run(peeks: int) -> list[object]:
        queue, log, pick = Fleet(), [], random.Random(3)
        queue.pool(nodes=2)
        for _ in range(60):
            for _ in range(peeks):
                queue.now_s += 300 / peeks
                queue.decide()
            if peeks == 0:
                queue.now_s += 300
            queue.submit(gpus=pick.choice([1, 4, 8]), team=pick.choice("ab"))
            if queue.places and pick.random() < 0.5:
                queue.end(sorted(queue.places)[0])
            log += queue.act()
        return log

    assert run(0) == run(1) == run(5)
