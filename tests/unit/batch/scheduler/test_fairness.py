"""Shares: max-min and its properties, decay, and AWS Batch's own examples."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from batch.model import Team
from batch.scheduler.fairness import AwsFairshare, decayed, max_min, reserved_fraction, unfairness
from batch.scheduler.policy import PolicyConfig
from batch.scheduler.shares import Shares

CLAIMS = st.lists(st.tuples(st.integers(0, 500), st.sampled_from([0.125, 1.0, 2.0, 4.0])), min_size=1, max_size=12)


@given(CLAIMS, st.integers(0, 1000))
def test_max_min(claims: list[tuple[int, float]], capacity: int) -> None:
    """Nobody gets more than it wants, nothing is left that somebody wants, and only equal levels are cut."""
    demand = np.array([float(wanted) for wanted, _ in claims])
    weight = np.array([w for _, w in claims])
    shares = max_min(demand, weight, capacity)
    assert (shares <= demand + 1e-9).all()
    assert shares.sum() == pytest.approx(min(demand.sum(), capacity))
    cut = shares < demand - 1e-6
    if cut.any():
        levels = shares / weight
        assert levels[cut] == pytest.approx(levels[cut].max())
        assert (levels <= levels[cut].max() + 1e-6).all()


def test_max_min_by_hand() -> None:
    equal = max_min(np.array([2.0, 8.0, 10.0]), np.ones(3), 12.0)
    assert equal.tolist() == [2.0, 5.0, 5.0]
    weighted = max_min(np.array([100.0, 100.0]), np.array([1.0, 3.0]), 8.0)
    assert weighted.tolist() == [2.0, 6.0]


def test_unfairness_is_a_distance_between_parts() -> None:
    assert unfairness(np.array([10.0, 0.0]), np.array([5.0, 5.0])) == pytest.approx(0.5)
    assert unfairness(np.array([1.0, 1.0]), np.array([5.0, 5.0])) == 0.0
    assert unfairness(np.zeros(2), np.ones(2)) == 0.0


def test_decay_halves_and_tends_to_a_limit() -> None:
    assert decayed(np.array([8.0]), np.zeros(1), 600.0, 600.0)[0] == pytest.approx(4.0)
    twice = decayed(decayed(np.zeros(1), np.ones(1), 100.0, 600.0), np.ones(1), 200.0, 600.0)
    assert twice == pytest.approx(decayed(np.zeros(1), np.ones(1), 300.0, 600.0))


@pytest.mark.parametrize(
    ("percent", "active", "held"),
    [(50, 1, 0.5), (50, 2, 0.25), (50, 3, 0.125), (25, 1, 0.25), (25, 2, 0.0625), (25, 3, 0.015625), (0, 1, 0.0)],
)
def test_compute_reservation_as_in_the_aws_documentation(percent: int, active: int, held: float) -> None:
    assert reserved_fraction(percent, active) == held


def test_a_lower_weight_factor_is_more_as_in_the_aws_documentation() -> None:
    fairshare = AwsFairshare(weight_factors=(("urgent", 0.125), ("team-*", 2.0), ("team-a*", 0.5)))
    assert fairshare.weight("urgent") == 8 * fairshare.weight("anybody")
    assert fairshare.weight("team-b") == 0.5
    assert fairshare.weight("team-apple") == 2.0
    due = max_min(np.array([90.0, 90.0]), np.array([fairshare.weight("urgent"), fairshare.weight("other")]), 90.0)
    assert due.tolist() == [80.0, 10.0]


@pytest.mark.parametrize(
    "wrong",
    [{"share_decay_s": 604_801}, {"compute_reservation": 100}, {"weight_factors": (("a", 0.0),)}],
)
def test_aws_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AwsFairshare(**wrong)  # type: ignore[arg-type]


def account(step_s: float) -> Shares:
    shares = Shares(PolicyConfig())
    for name in "ab":
        shares.set_team(Team(name=name))
    shares.set_capacity(np.array([10.0, 0.0]))
    shares.want(0, 20)
    shares.want(2, 20)
    shares.use(0, 10)
    at_s = 1_000_020.0
    while at_s < 1_000_020.0 + 9_000.0:
        shares.advance(at_s, at_s + step_s)
        at_s += step_s
    return shares


def test_the_account_does_not_depend_on_how_often_one_looks() -> None:
    often, seldom = account(1.0), account(4_500.0)
    assert often.credit == pytest.approx(seldom.credit)
    assert often.usage == pytest.approx(seldom.usage)
    assert often.theta_chip_h == pytest.approx(seldom.theta_chip_h)
    assert often.unfairness == pytest.approx(seldom.unfairness)
    # All to one of two equal teams is as unfair as it gets with two; the price rises.
    assert often.unfairness > 0.08
    assert often.theta_chip_h < 8.0
    assert often.credit[0] < 0 < often.credit[2]


def test_a_burst_is_charged_from_its_start() -> None:
    shares = account(4_500.0)
    before = shares.order.tolist()
    shares.use(0, -10)
    shares.use(2, 1000)
    assert before[0] > before[2]
    assert shares.order[0] < shares.order[2]
