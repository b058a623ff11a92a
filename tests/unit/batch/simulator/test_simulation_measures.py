"""What is measured: shares against entitlement, contended hours, bounds of utilisation, groups of jobs."""

import math

import numpy as np
import pytest
from fixtures_traces import trace_of, traces
from hypothesis import given, settings, strategies as st

from batch.simulator import Cluster, Outcome, Physics, PolicyName, Trace, report_of, simulate
from batch.simulator.bound import offline_bound_chip_s, simple_bound_chip_s
from batch.simulator.measures import by_hour, unfairness, window_work_chip_s
from batch.simulator.outcome import SpanLog

NO_LOSS = Physics(restart_s=0.0, checkpoint_every_s=0.0)


def run(trace: Trace, chips: int, policy: PolicyName = PolicyName.FIFO) -> Outcome:
    return simulate(trace, Cluster.counted(chips), policy, physics=NO_LOSS)


def test_unfairness_is_half_the_distance_between_shares_and_entitlements() -> None:
    # Both teams want all four chips for two hours; a has them for the first, b for the second.
    trace = trace_of([(0.0, 3600.0, 4, "a"), (0.0, 3600.0, 4, "b")])
    hourly, daily, hours = unfairness(run(trace, 4))
    # Hour 0: entitled 2 and 2, used 4 and 0. Hour 1: only b is there.
    assert (hourly, hours) == (pytest.approx((0.5 + 0.0) / 2), 2)
    assert math.isnan(daily)


def test_an_hour_in_which_everybody_gets_what_they_want_is_not_contended() -> None:
    hourly, _, hours = unfairness(run(trace_of([(0.0, 7200.0, 1, "a")]), 4))
    assert (hours, math.isnan(hourly)) == (0, True)


def test_daily_unfairness_forgives_what_was_paid_back() -> None:
    jobs = [(float(number), 3600.0, 4, "ab"[number % 2]) for number in range(48)]
    hourly, daily, hours = unfairness(run(trace_of(jobs), 4))
    assert hours == 48
    assert hourly == pytest.approx(0.5, abs=0.05)
    assert daily < 0.05


def test_no_span_crosses_an_hour_and_idle_time_ends_none() -> None:
    log = SpanLog(9030.0)
    at_s, wanted_s = 0.0, (3000.0, 3000.0, 60.0)
    for length_s in wanted_s:
        length_s = min(length_s, log.longest_s(at_s, 60.0))
        log.add(at_s, length_s, 0, np.ones(1), np.ones(1))
        at_s += length_s
    assert log.longest_s(9000.0, 60.0) == 30.0  # the window ends
    log.add(9000.0, 30.0, 0, np.ones(1), np.ones(1))
    assert log.longest_s(9030.0, 60.0) == 3600.0
    spans = log.spans(1)
    assert spans.length_s.tolist() == [3000.0, 600.0, 60.0, 30.0]
    assert by_hour(spans, spans.used_chip_s).ravel().tolist() == [2.0, 2.0]


@settings(max_examples=20, deadline=None)
@given(trace=traces(), chips=st.integers(8, 20), policy=st.sampled_from(list(PolicyName)))
def test_no_policy_does_more_than_the_offline_bound(trace: Trace, chips: int, policy: PolicyName) -> None:
    bound = offline_bound_chip_s(trace, chips)
    assert bound <= simple_bound_chip_s(trace, chips) + 1e-6
    assert window_work_chip_s(run(trace, chips, policy)) <= bound + 1e-6


def test_the_bound_knows_that_work_cannot_be_done_before_it_comes() -> None:
    # Two hours, four chips; all eight chip-hours of work come for the second hour only.
    late = trace_of([(3600.0 - 1.0, 3600.0, 1, "a")] * 8 + [(7199.0, 0.0, 1, "a")])
    assert late.window_s == 7200.0
    assert simple_bound_chip_s(late, 4) == 8 * 3600.0
    assert offline_bound_chip_s(late, 4) == pytest.approx(4 * 3600.0 + 8.0)


def test_the_report_counts_groups_waits_and_delays() -> None:
    trace = trace_of([(0.0, 3600.0, 16, "a"), (0.0, 3600.0, 8, "b"), (0.0, 3600.0, 1, "b")])
    report = report_of(run(trace, 16))
    assert (report.jobs, report.teams, report.chips, report.preemptions) == (3, 2, 16, 0)
    assert report.gangs_8 is not None
    assert report.gangs_16 is not None
    # In order of submission and size: 1 and 8 chips at once, 16 behind them.
    assert (report.gangs_8.jobs, report.gangs_8.mean_delay_h) == (2, 0.5)
    assert (report.gangs_16.jobs, report.gangs_16.mean_wait_h) == (1, 1.0)
    assert [(group.name, group.jobs) for group in report.by_size] == [("1", 1), ("5-8", 1), ("9-16", 1)]
    assert [(group.name, group.mean_completion_h) for group in report.by_team] == [("a", 2.0), ("b", 1.0)]
    assert report.to_json()["overall"]["mean_completion_h"] == pytest.approx(4.0 / 3.0)
