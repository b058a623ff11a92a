"""The policies to compare with, on examples worked out by hand, and the skipping of rounds."""

import numpy as np
import pytest
from fixtures_traces import trace_of, traces
from hypothesis import given, settings, strategies as st

from batch.errors import BadRequestError, ImpossibleShapeError
from batch.scheduler.arrays import Bools, Ints
from batch.simulator import Cluster, Outcome, Physics, PolicyName, Trace, simulate
from batch.simulator.baselines import BASELINES, Baseline, Queue
from batch.simulator.rounds import run_baseline

NO_LOSS = Physics(restart_s=0.0, checkpoint_every_s=0.0)


def starts_min(policy: PolicyName, trace: Trace, chips: int) -> list[float]:
    outcome = simulate(trace, Cluster.counted(chips), policy, physics=NO_LOSS)
    return [float(start_s) / 60.0 for start_s in outcome.first_start_s]


def test_fifo_lets_nobody_pass_and_easy_lets_those_that_delay_nobody() -> None:
    trace = trace_of(
        [
            (0.0, 600.0, 3, "a"),
            (1.0, 600.0, 4, "a"),  # blocked until 10 min
            (2.0, 300.0, 1, "a"),  # ends before that
            (3.0, 1200.0, 1, "a"),  # does not
        ]
    )
    assert starts_min(PolicyName.FIFO, trace, 4) == [0, 10, 20, 20]
    assert starts_min(PolicyName.EASY, trace, 4) == [0, 10, 1, 20]


def test_easy_lets_long_jobs_pass_into_what_the_blocked_gang_leaves_free() -> None:
    trace = trace_of([(0.0, 600.0, 3, "a"), (1.0, 600.0, 4, "a"), (2.0, 9000.0, 1, "a"), (3.0, 9000.0, 1, "a")])
    assert starts_min(PolicyName.EASY, trace, 5) == [0, 10, 1, 20]


def test_the_shortest_remaining_preempts_and_loses_what_was_not_saved() -> None:
    trace = trace_of([(0.0, 3600.0, 2, "a"), (1500.0, 300.0, 2, "a")])
    physics = Physics(restart_s=30.0, checkpoint_every_s=600.0)
    outcome = simulate(trace, Cluster.counted(2), PolicyName.SRTF_ORACLE, physics=physics)
    assert outcome.first_start_s.tolist() == [0.0, 1500.0]
    assert outcome.finish_s.tolist() == [3600.0 + 300.0 + 300.0 + 30.0, 1800.0]
    assert (outcome.preemptions, outcome.restart_chip_s, outcome.unsaved_chip_s) == (1, 60.0, 600.0)


def test_las_puts_who_had_eight_chip_hours_behind_who_had_less() -> None:
    trace = trace_of([(0.0, 36000.0, 4, "a"), (60.0, 3600.0, 4, "a")])
    outcome = simulate(trace, Cluster.counted(4), PolicyName.LAS, physics=NO_LOSS)
    assert outcome.first_start_s.tolist() == [0.0, 7200.0]
    assert outcome.finish_s.tolist() == [39600.0, 10800.0]


def test_fair_starts_the_team_that_used_least() -> None:
    trace = trace_of([(0.0, 3600.0, 1, "a"), (1.0, 600.0, 1, "a"), (2.0, 600.0, 1, "b")])
    assert starts_min(PolicyName.FAIR, trace, 1) == [0, 70, 60]


class InEveryRound:
    """A baseline that is asked in every round."""

    def __init__(self, baseline: Baseline) -> None:
        self.preempts = baseline.preempts
        self.choose = baseline.choose

    def steady_s(self, queue: Queue, running: Bools) -> float:
        del queue, running
        return 1.0


@pytest.mark.parametrize("name", ["fifo", "easy", "las", "srtf_oracle"])
@settings(max_examples=12, deadline=None)
@given(trace=traces(), chips=st.integers(8, 20))
def test_skipping_rounds_changes_nothing(name: str, trace: Trace, chips: int) -> None:
    physics = Physics()
    quick = run_baseline(name, BASELINES[name](), trace, chips, physics)
    slow = run_baseline(name, InEveryRound(BASELINES[name]()), trace, chips, physics)
    assert quick.finish_s.tolist() == slow.finish_s.tolist()
    assert quick.preemptions == slow.preemptions


class Watched:
    """A baseline whose choices are checked: distinct, not more than there are chips."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self.preempts = baseline.preempts
        self.steady_s = baseline.steady_s

    def choose(self, queue: Queue) -> Ints:
        chosen = self._baseline.choose(queue)
        assert len(np.unique(chosen)) == len(chosen)
        assert queue.gang[chosen].sum() <= (queue.chips if self.preempts else queue.free)
        return chosen


@pytest.mark.parametrize("name", sorted(BASELINES))
@settings(max_examples=12, deadline=None)
@given(trace=traces(), chips=st.integers(8, 20))
def test_chips_are_never_given_twice_and_all_jobs_finish(name: str, trace: Trace, chips: int) -> None:
    outcome: Outcome = run_baseline(name, Watched(BASELINES[name]()), trace, chips, Physics())
    assert (outcome.finish_s >= trace.submit_s + trace.duration_s - 1e-6).all()
    assert (outcome.spans.used_chip_s.sum(axis=1) <= chips * outcome.spans.length_s + 1e-6).all()
    work = trace.work_chip_s + outcome.restart_chip_s + outcome.unsaved_chip_s
    assert outcome.spans.used_chip_s.sum() == pytest.approx(work)


def test_what_cannot_be_simulated_is_told() -> None:
    trace = trace_of([(0.0, 60.0, 9, "a")])
    with pytest.raises(ImpossibleShapeError, match="a gang of 9 chips: must be at most 8"):
        simulate(trace, Cluster.counted(8), PolicyName.FIFO)
    with pytest.raises(BadRequestError, match="baselines only count chips"):
        simulate(trace, Cluster.of("2x8"), PolicyName.FIFO)
    for text in ("8", "0x8", "8x", "ax8", "2x-8"):
        with pytest.raises(BadRequestError, match="must be nodes x chips on each, such as 65x8"):
            Cluster.of(text)
