"""The ensemble and its intervals: what must not matter, what must widen, and what is refused."""

import math

import numpy as np
import pytest
from fixtures_forecasts import runs, scaled, surface
from hypothesis import given, settings, strategies as st

from planner.errors import BadInputError, RefusedError
from planner.forecasts.ensemble import fit_ensemble
from planner.forecasts.evidence import evidence_for
from planner.forecasts.forecaster import Forecaster
from planner.forecasts.interaction_law import NUM_PARAMETERS, log_loss, log_loss_and_gradient
from planner.forecasts.intervals import MULTIPLIERS, multiplier
from planner.forecasts.priors import SMALLEST_FRONTIER_FLOPS, doubt
from planner.laws.runs import Runs


def test_gradients_are_finite_differences() -> None:
    random = np.random.default_rng(0)
    theta = np.array([[-0.5, -1.7, -1.9, 0.35, 0.4, 0.3]]) + 0.1 * random.standard_normal((3, NUM_PARAMETERS))
    x, y = random.standard_normal((2, 8))
    _, gradient = log_loss_and_gradient(theta, x, y)
    for at in range(NUM_PARAMETERS):
        step = np.zeros(NUM_PARAMETERS)
        step[at] = 1e-6
        difference = (log_loss(theta + step, x, y) - log_loss(theta - step, x, y)) / 2e-6
        np.testing.assert_allclose(gradient[..., at], difference, atol=1e-8)


@given(
    params=st.floats(0.1, 1000.0), tokens=st.floats(0.1, 1000.0), loss=st.floats(0.01, 100.0), seed=st.integers(0, 5)
)
@settings(max_examples=12, deadline=None)
def test_units_do_not_matter(params: float, tokens: float, loss: float, seed: int) -> None:
    """Above the frontiers at which the priors are loosened: those are in FLOPs."""
    plain, other = runs(seed=seed, low=21.0, high=23.0), None
    other = scaled(plain, params=params, tokens=tokens, loss=loss)
    at = (np.array([3e10]), np.array([1e12]))
    first = fit_ensemble(plain).forecast(*at, 6 * at[0] * at[1])
    second = fit_ensemble(other).forecast(at[0] * params, at[1] * tokens, 6 * at[0] * at[1] * params * tokens)
    assert second.log_loss[0] == pytest.approx(first.log_loss[0] + math.log(loss), abs=1e-6)
    assert second.scale[0] == pytest.approx(first.scale[0], rel=1e-4)


@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_order_of_runs_does_not_matter(seed: int) -> None:
    plain = runs()
    order = np.random.default_rng(seed).permutation(len(plain))
    at = (np.array([1e9]), np.array([3e10]), np.array([1.8e20]))
    first, second = (fit_ensemble(each).forecast(*at) for each in (plain, plain.take(order)))
    np.testing.assert_allclose(first.log_loss, second.log_loss, atol=1e-9)


@given(seed=st.integers(0, 30), shape=st.floats(5.0, 80.0))
@settings(max_examples=12, deadline=None)
def test_intervals_widen_with_distance(seed: int, shape: float) -> None:
    flops = 1e20 * np.array([1.0, 3.0, 10.0, 30.0, 100.0])
    params = np.sqrt(flops / 6.0 / shape)
    scale = fit_ensemble(runs(seed=seed)).forecast(params, shape * params, flops).scale
    assert (np.diff(scale) > 0).all()


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_intervals_widen_with_their_level(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert multiplier(low) <= multiplier(high)


@pytest.mark.parametrize("level", MULTIPLIERS)
def test_known_levels_are_the_tables(level: float) -> None:
    assert multiplier(level) == pytest.approx(MULTIPLIERS[level])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 90.0, math.nan])
def test_levels_are_between_nothing_and_all(level: float) -> None:
    with pytest.raises(BadInputError, match="level"):
        multiplier(level)


def test_an_exact_law_is_forecast_within_its_interval() -> None:
    flops = np.array([1e21])
    params = np.sqrt(flops / 120.0)
    forecast = fit_ensemble(runs()).forecast(params, 20.0 * params, flops)
    error = forecast.log_loss - np.log(surface(params, 20.0 * params))
    assert abs(error[0]) < multiplier(0.9) * forecast.scale[0] < 0.04


def test_the_guard_finds_laws_without_a_floor() -> None:
    without = fit_ensemble(runs(floor=0.02))
    flops = np.array([1e21])
    params = np.sqrt(flops / 120.0)
    forecast = without.forecast(params, 20.0 * params, flops)
    assert not without.has_floor
    assert fit_ensemble(runs()).has_floor
    assert forecast.log_loss[0] == pytest.approx(math.log(surface(params, 20.0 * params, 0.02)[0]), abs=0.02)
    found = Forecaster(runs(floor=0.02)).forecast(1e9, 3e10)
    assert any("no floor found" in note for note in found.notes)


def test_small_frontiers_are_told_and_wider() -> None:
    large, down = runs(), 1e-4
    small = scaled(large, params=down, tokens=down)
    assert (doubt(1e11), doubt(1e20)) == (1.0, 0.0)
    assert 0.0 < doubt(SMALLEST_FRONTIER_FLOPS / 10) < 1.0
    found = Forecaster(small).forecast(3e9 * down, 6e10 * down)
    assert any("priors were learned" in note for note in found.notes)
    low, high = found.interval(0.9)
    other_low, other_high = Forecaster(large).forecast(3e9, 6e10).interval(0.9)
    assert high / low > other_high / other_low


def test_a_forecast_has_all_that_is_to_be_known() -> None:
    found = Forecaster(runs()).forecast(3e9, 6e10, levels=(0.5, 0.9))
    low, high = found.interval(0.9)
    assert low < found.interval(0.5)[0] < found.loss < found.interval(0.5)[1] < high
    assert set(found.families) == {"approach 3", "tied exponents"}
    assert found.families["approach 3"] == pytest.approx(float(surface(np.array([3e9]), np.array([6e10]))[0]), rel=0.02)
    assert found.disagreement < 0.05
    assert (found.is_forced, found.evidence.ratio) == (False, pytest.approx(10.8))
    entry = found.to_ledger("run-1")
    assert entry.quantities["loss"].value == found.loss
    assert entry.inputs_hash == runs().data_hash()
    with pytest.raises(BadInputError, match=r"level 0\.8"):
        found.interval(0.8)


@pytest.mark.parametrize(
    ("params", "tokens", "said"),
    [
        (7e10, 1.4e12, r"5\.88e\+03 times the compute of the largest"),
        (1e9, 1e13, r"its tokens lie .* times outside.*tokens per parameter lie .* times outside"),
        (2e10, 1e9, "its tokens per parameter lie"),
        (5e5, 1e8, "its parameters lie"),
    ],
)
def test_what_the_evidence_does_not_carry_is_refused(params: float, tokens: float, said: str) -> None:
    forecaster = Forecaster(runs())
    with pytest.raises(RefusedError, match=said):
        forecaster.forecast(params, tokens)
    assert forecaster.forecast(params, tokens, force=True).is_forced


def test_few_or_narrow_runs_are_refused() -> None:
    few = runs().where(np.arange(35) % 4 == 0)
    with pytest.raises(RefusedError, match="9 runs are evidence; 12"):
        Forecaster(few).forecast(1e9, 2e10)
    narrow = runs(low=19.5)
    with pytest.raises(RefusedError, match=r"span a factor of 3\.16 in compute"):
        Forecaster(narrow).forecast(1e9, 2e10)


def test_compute_is_counted_as_the_runs_count_it() -> None:
    plain = runs()
    counted = Runs(plain.params, plain.tokens, plain.loss, 1.3 * plain.flops)
    assert Forecaster(counted).flops(1e9, 2e10) == pytest.approx(1.3 * 1.2e20)
    assert evidence_for(counted, 1e9, 2e10, 1.3e20).ratio == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_sizes_are_positive(value: float) -> None:
    with pytest.raises(BadInputError, match="params"):
        Forecaster(runs()).forecast(value, 1e10)
