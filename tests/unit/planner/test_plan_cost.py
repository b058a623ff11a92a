"""Dollars: whole instances, dated prices, and what interruptions make a run do again."""

import math
from datetime import date

import numpy as np
import pytest

from planner.cost import (
    Interruptions,
    StoragePrice,
    checkpoint_bytes,
    checkpoint_interval_s,
    estimate_cost,
    expected_wall_s,
)
from planner.errors import BadInputError
from planner.hardware import Price, Terms, default_catalogue

P5 = default_catalogue().instance("p5")
PRICE = Price(55.04, date(2026, 11, 9), Terms.ON_DEMAND, "us-east-1", "somewhere")


def test_whole_instances_are_paid() -> None:
    cost = estimate_cost(P5, 12, 3600.0, PRICE)
    assert (cost.instances, cost.total_usd, cost.storage_usd) == (2, pytest.approx(2 * 55.04), None)


def test_young_and_daly() -> None:
    assert checkpoint_interval_s(1.0, 1e6) == pytest.approx(math.sqrt(2e6), rel=1e-3)
    assert checkpoint_interval_s(100.0, 10.0) == 10.0


def test_the_interval_is_the_one_that_loses_least() -> None:
    faults = Interruptions(per_instance_hour=0.05, checkpoint_s=30.0, restart_s=60.0)
    between_s = faults.mean_between_s(16)
    best = checkpoint_interval_s(30.0, between_s)
    grid = best * np.geomspace(0.5, 2.0, 41)
    walls = [expected_wall_s(1e6, float(at), faults, between_s) for at in grid]
    assert expected_wall_s(1e6, best, faults, between_s) <= min(walls) * 1.0005


def test_expected_time_is_that_of_a_simulation() -> None:
    faults = Interruptions(per_instance_hour=1.0, checkpoint_s=20.0, restart_s=40.0)
    between_s, interval = faults.mean_between_s(4), 200.0
    generator, total = np.random.default_rng(3), 0.0
    for _ in range(4000):
        done = 0
        while done < 5:
            fault = generator.exponential(between_s)
            if fault >= interval + 20.0:
                total, done = total + interval + 20.0, done + 1
                continue
            total += fault
            while (fault := generator.exponential(between_s)) < 40.0:
                total += fault
            total += 40.0
    assert expected_wall_s(1000.0, interval, faults, between_s) == pytest.approx(total / 4000, rel=0.02)


def test_spot_with_interruptions_costs_more_time_and_less_money() -> None:
    spot = Price(20.0, date(2026, 11, 9), Terms.SPOT, "us-east-1", "somewhere")
    faults = Interruptions(per_instance_hour=0.05, checkpoint_s=5.0, restart_s=120.0)
    dear, cheap = estimate_cost(P5, 64, 1e6, PRICE), estimate_cost(P5, 64, 1e6, spot, interruptions=faults)
    assert cheap.wall_s > dear.wall_s
    assert cheap.total_usd < dear.total_usd
    assert cheap.overhead > 0.0
    assert cheap.checkpoint_every_s is not None


def test_storage_is_paid_when_it_has_a_price() -> None:
    storage = StoragePrice(usd_per_gb_month=0.023, as_of=date(2026, 11, 1), source="me")
    month_s = 365.25 / 12 * 86400
    cost = estimate_cost(P5, 8, month_s, PRICE, stored_bytes=checkpoint_bytes(7e9), storage=storage)
    assert cost.storage_usd == pytest.approx(2 * 12 * 7 * 0.023)


@pytest.mark.parametrize("name", ["per_instance_hour", "checkpoint_s", "restart_s"])
def test_negative_interruptions_are_refused(name: str) -> None:
    with pytest.raises(BadInputError, match=name):
        Interruptions(**{name: -1.0})


def test_a_run_that_never_ends_is_refused() -> None:
    faults = Interruptions(per_instance_hour=3600.0, checkpoint_s=600.0, restart_s=600.0)
    with pytest.raises(BadInputError, match="no checkpoint"):
        estimate_cost(P5, 8, 1e6, PRICE, interruptions=faults)
