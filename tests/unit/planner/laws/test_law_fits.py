"""A fit recovers the law that its points lie on, whatever their order and units."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fixtures_laws import ALL_LAWS, TRUE_VALUES, isoflop_runs, noiseless
from hypothesis import given, settings, strategies as st

from planner.errors import BadInputError, BadRunsError, UnknownNameError
from planner.laws import LAWS, compare, fit, law_named, objective_at, runs_of
from planner.laws.law import Law
from planner.laws.loss_laws import HOFFMANN, OVER_TRAINING, TIED
from planner.laws.resampling import resample_weights
from planner.laws.runs import Runs

BUDGETS = np.geomspace(1e18, 1e21, 7)


def noisy(law: Law, seed: int = 0, noise: float = 0.005) -> Runs:
    runs = noiseless(law)
    return replace(runs, loss=runs.loss * np.exp(noise * np.random.default_rng(seed).normal(size=len(runs))))


@pytest.mark.parametrize("law", [law for law in ALL_LAWS if law.name not in {"mixture", "width_depth"}],
                         ids=lambda law: law.name)  # fmt: skip
def test_noiseless_points_give_the_parameters_back(law: Law) -> None:
    found = fit(noiseless(law), law)
    assert found.is_converged
    assert found.residual_rms < 1e-6
    assert found.values == pytest.approx(TRUE_VALUES[law.name], rel=1e-3)


@pytest.mark.parametrize("name", ["mixture", "width_depth"])
def test_laws_of_many_terms_give_the_predictions_back(name: str) -> None:
    """Nine and ten parameters trade against each other; what they predict does not."""
    law = law_named(name)
    found = fit(noiseless(law, 300), law)
    assert found.residual_rms < 1e-3
    unseen = noiseless(law, 50, seed=9)
    assert found.predict(unseen.columns()) == pytest.approx(unseen.loss, rel=5e-3)


@given(
    floor=st.floats(0.5, 3.0),
    alpha=st.floats(0.2, 0.6),
    beta=st.floats(0.2, 0.6),
    of_params=st.floats(0.05, 1.0),
    of_tokens=st.floats(0.05, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_any_surface_is_recovered(
    floor: float, alpha: float, beta: float, of_params: float, of_tokens: float
) -> None:
    runs = isoflop_runs(HOFFMANN, BUDGETS)
    loss = floor + of_params * (runs.params / 1e9) ** -alpha + of_tokens * (runs.tokens / 2e10) ** -beta
    found = fit(runs_of(runs.params, runs.tokens, loss), HOFFMANN).values
    assert (found["E"], found["alpha"], found["beta"]) == pytest.approx((floor, alpha, beta), rel=1e-3)


@pytest.mark.parametrize("law", [HOFFMANN, TIED, OVER_TRAINING, law_named("kaplan")], ids=lambda law: law.name)
def test_units_do_not_matter(law: Law) -> None:
    runs = noisy(law_named("hoffmann"))
    thousands = replace(runs, tokens=runs.tokens / 1e3, flops=runs.flops / 1e3)
    bits = replace(runs, loss=runs.loss / np.log(2.0))
    here, scaled, in_bits = (fit(each, law) for each in (runs, thousands, bits))
    assert scaled.objective == pytest.approx(here.objective, rel=1e-9)
    assert scaled.predict(thousands.columns()) == pytest.approx(here.predict(runs.columns()), rel=1e-6)
    if law.name != "kaplan":  # without a coefficient of its own, it is no law of the loss in any unit
        assert in_bits.objective == pytest.approx(here.objective, rel=1e-9)
        assert in_bits.predict(runs.columns()) * np.log(2.0) == pytest.approx(here.predict(runs.columns()), rel=1e-6)


@given(order=st.permutations(range(80)))
@settings(max_examples=5, deadline=None)
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    runs = noisy(HOFFMANN)
    one, other = (fit(each, HOFFMANN, bootstrap=5) for each in (runs, runs.take(np.array(order))))
    assert np.array_equal(one.theta, other.theta)
    assert np.array_equal(one.draws, other.draws)
    assert one.runs.data_hash() == other.runs.data_hash() == runs.data_hash()


def test_any_changed_value_changes_the_hash() -> None:
    runs = noisy(HOFFMANN)
    loss = runs.loss.copy()
    loss[3] = np.nextafter(loss[3], 9.0)
    assert replace(runs, loss=loss).data_hash() != runs.data_hash()


def test_intervals_hold_the_truth_and_widen_with_their_level() -> None:
    found = fit(noisy(HOFFMANN), HOFFMANN, bootstrap=200)
    wide, narrow = found.intervals(0.99), found.intervals(0.5)
    for name, truth in TRUE_VALUES["hoffmann"].items():
        assert wide[name][0] < truth < wide[name][1]
        assert wide[name][0] < narrow[name][0] < narrow[name][1] < wide[name][1]
    low, high = found.predict_interval({"params": np.array([1e11]), "tokens": np.array([1e13])})
    assert low[0] < high[0]


def test_resamples_are_fits_of_what_was_drawn() -> None:
    """A weight of two is a row that stands twice."""
    runs = noisy(HOFFMANN).ordered()
    weights = resample_weights(runs, 3, seed=0)
    found = fit(runs, HOFFMANN, bootstrap=3, seed=0)
    for drawn, theta in zip(weights, found.draws, strict=True):
        twice = runs.take(np.repeat(np.arange(len(runs)), drawn.astype(int)))
        assert theta == pytest.approx(fit(twice, HOFFMANN).theta, rel=1e-4)


def test_groups_are_drawn_together() -> None:
    runs = noisy(HOFFMANN)
    grouped = replace(runs, group=np.array([f"run {row // 4}" for row in range(len(runs))]))
    weights = resample_weights(grouped, 20, seed=0)
    assert np.array_equal(weights, np.repeat(weights[:, ::4], 4, axis=1))
    assert not np.array_equal(weights, resample_weights(runs, 20, seed=0))


def test_the_highest_losses_are_left_out_by_name_and_told() -> None:
    runs = noisy(HOFFMANN)
    found = fit(runs, HOFFMANN, outliers="top:3")
    assert sorted(run.loss for run in found.dropped) == sorted(runs.loss)[-3:]
    assert len(found.runs) == len(runs) - 3
    told = json.loads(json.dumps(found.to_json()))
    assert (told["outliers"], len(told["dropped"]), told["law"]) == ("top:3", 3, "hoffmann")
    with pytest.raises(BadInputError, match="must be none or top:K"):
        fit(runs, HOFFMANN, outliers="some")
    with pytest.raises(BadRunsError, match="at most half"):
        fit(runs, HOFFMANN, outliers="top:60")


def test_a_loss_floor_of_zero_is_no_failure() -> None:
    runs = isoflop_runs(HOFFMANN, BUDGETS)
    loss = 30.0 * runs.params**-0.15 + 40.0 * runs.tokens**-0.15
    found = fit(runs_of(runs.params, runs.tokens, loss), HOFFMANN)
    assert found.residual_rms < 1e-4


def test_what_cannot_be_determined_is_refused() -> None:
    runs = noisy(HOFFMANN)
    with pytest.raises(BadRunsError, match="needs at least 6"):
        fit(runs.take(np.arange(5)), HOFFMANN)
    with pytest.raises(BadRunsError, match="params = "):
        fit(replace(runs, params=np.full(len(runs), 1e9)), HOFFMANN)
    with pytest.raises(UnknownNameError, match="unique_tokens"):
        fit(runs_of(runs.params, runs.tokens, runs.loss), LAWS["data_constrained"])
    with pytest.raises(UnknownNameError, match="must be one of hoffmann"):
        law_named("chinchila")
    with pytest.raises(BadInputError, match="without a bootstrap"):
        fit(runs, HOFFMANN).intervals()


def test_the_objective_is_least_at_the_fit() -> None:
    runs = noisy(HOFFMANN)
    found = fit(runs, HOFFMANN)
    assert objective_at(runs, HOFFMANN, found.values) == pytest.approx(found.objective, rel=1e-9)
    for name, value in found.values.items():
        assert objective_at(runs, HOFFMANN, {**found.values, name: value * 1.001}) > found.objective


def test_a_comparison_always_has_approach_3_and_fits_all_that_it_can() -> None:
    runs = isoflop_runs(HOFFMANN, BUDGETS)
    found = compare(runs, [TIED], bootstrap=20, flops=1e23)
    assert [row.by for row in found.rows] == ["approach 1", "approach 2", "approach 3 (hoffmann)", "tied"]
    assert any("approaches 2 and 3" in note for note in found.notes)
    assert {each.law.name for each in compare(noisy(HOFFMANN)).fits} == set(LAWS)


def test_runs_that_allow_no_law_are_refused_with_every_reason() -> None:
    runs = noisy(HOFFMANN).take(np.arange(2))
    with pytest.raises(BadRunsError, match=r"no law can be fitted to these 2 runs: .*hoffmann has 5 parameters"):
        compare(replace(runs, other={}))
