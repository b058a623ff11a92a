"""The recorded Philly trace: the anchors to the digit, and what the production policy reaches beside them."""

from datetime import datetime
from functools import cache

import pytest
from fixtures_traces import PHILLY, needs_philly

from batch.simulator import Cluster, Physics, PolicyName, Report, Trace, TraceFormat, read_trace, report_of, simulate

pytestmark = needs_philly

REFERENCE = datetime.fromisoformat("2017-10-01")
CHIPS = 520


@cache
def window() -> Trace:
    return read_trace(PHILLY, TraceFormat.PHILLY).window(REFERENCE, 14)


@cache
def report(policy: PolicyName, checkpoint_every_s: float = 600.0) -> Report:
    physics = Physics(checkpoint_every_s=checkpoint_every_s)
    return report_of(simulate(window(), Cluster.counted(CHIPS), policy, physics=physics))


def test_the_reference_window_is_the_one_of_the_goals() -> None:
    assert len(read_trace(PHILLY, TraceFormat.PHILLY)) == 58_771
    assert (len(window()), len(window().teams), window().chips_for_load(1.0)) == (24_134, 11, CHIPS)


@pytest.mark.parametrize(
    ("policy", "mean_h", "p99_h", "hourly", "preemptions"),
    [
        (PolicyName.FIFO, 10.6134, 51.83, 0.2106, 0),
        (PolicyName.EASY, 10.3669, 51.77, 0.2011, 0),
        (PolicyName.LAS, 2.8521, 56.51, 0.1421, 7_500),
        (PolicyName.SRTF_ORACLE, 2.6872, 47.95, 0.1421, 5_969),
    ],
)
def test_the_anchors_without_loss(
    policy: PolicyName, mean_h: float, p99_h: float, hourly: float, preemptions: int
) -> None:
    found = report(policy, 0.0)
    assert found.overall.mean_completion_h == pytest.approx(mean_h, abs=1e-4)
    assert found.overall.p99_completion_h == pytest.approx(p99_h, abs=1e-2)
    assert found.unfairness_hourly == pytest.approx(hourly, abs=1e-4)
    assert found.preemptions == preemptions


@pytest.mark.parametrize(
    ("policy", "mean_h", "hourly", "preemptions", "lost_h"),
    [(PolicyName.LAS, 2.9009, 0.1412, 7_934, 1376.7), (PolicyName.SRTF_ORACLE, 2.7046, 0.1424, 6_027, 1080.1)],
)
def test_the_anchors_with_checkpoints(
    policy: PolicyName, mean_h: float, hourly: float, preemptions: int, lost_h: float
) -> None:
    found = report(policy)
    assert found.overall.mean_completion_h == pytest.approx(mean_h, abs=1e-4)
    assert found.unfairness_hourly == pytest.approx(hourly, abs=1e-4)
    assert (found.preemptions, found.lost_chip_h) == (preemptions, pytest.approx(lost_h, abs=0.1))


def test_utilisation_against_both_bounds() -> None:
    fifo = report(PolicyName.FIFO)
    assert fifo.utilisation_simple == pytest.approx(0.9638, abs=1e-4)
    assert fifo.utilisation == pytest.approx(0.9913, abs=1e-4)


@pytest.mark.long
def test_the_production_policy_is_near_the_oracle_and_fair_at_once() -> None:
    ours, oracle, las, easy = (
        report(policy) for policy in (PolicyName.DEFAULT, PolicyName.SRTF_ORACLE, PolicyName.LAS, PolicyName.EASY)
    )
    assert ours.overall.mean_completion_h <= 1.05 * oracle.overall.mean_completion_h
    assert ours.unfairness_hourly is not None
    assert ours.unfairness_hourly <= 0.085
    assert ours.preemptions <= 0.45 * las.preemptions
    assert ours.lost_chip_h <= 0.3 * las.lost_chip_h
    assert ours.utilisation >= 0.98
    assert ours.gangs_16 is not None
    assert easy.gangs_16 is not None
    assert ours.gangs_16.mean_delay_h <= easy.gangs_16.mean_delay_h
