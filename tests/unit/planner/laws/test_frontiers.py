"""The best size for a budget: by closed form, by the envelope, by parabolas and their bias, and with inference."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures_laws import TRUE_VALUES, isoflop_runs, reference

from planner.errors import BadInputError, BadRunsError, RefusedError
from planner.laws import Serving, approach_1, approach_2, cheapest, compare, fit, machine_price, optimum, runs_of
from planner.laws.compute_optimal import frontier_exponent
from planner.laws.law import coordinates
from planner.laws.loss_laws import ERROR, HOFFMANN, MIXTURE, OVER_TRAINING, TIED
from planner.laws.runs import Runs
from planner.verification import law_data

BUDGETS = np.geomspace(1e18, 1e21, 7)
THETA = coordinates(HOFFMANN, TRUE_VALUES["hoffmann"])


@pytest.mark.parametrize("flops", [1e15, 1e20, 5.76e23, 1e27])
def test_the_optimum_is_that_of_the_closed_form(flops: float) -> None:
    """Hoffmann et al. 2022, eq. 4."""
    values = TRUE_VALUES["hoffmann"]
    alpha, beta = values["alpha"], values["beta"]
    balance = (alpha * values["A"] / (beta * values["B"])) ** (1.0 / (alpha + beta))
    found = optimum(HOFFMANN, THETA[None, :], flops)
    assert found.params[0] == pytest.approx(balance * (flops / 6.0) ** frontier_exponent(alpha, beta), rel=1e-4)
    assert found.params[0] * found.tokens[0] * 6.0 == pytest.approx(flops, rel=1e-12)


def test_many_candidates_are_found_as_each_alone() -> None:
    spread = THETA * (1.0 + 0.03 * np.random.default_rng(0).normal(size=(150, 5)))
    together = optimum(HOFFMANN, spread, 1e22).params
    alone = [optimum(HOFFMANN, theta[None, :], 1e22).params[0] for theta in spread]
    assert together == pytest.approx(np.array(alone), rel=2e-3)


def test_a_mixture_computes_with_the_parameters_that_a_token_uses() -> None:
    theta = coordinates(MIXTURE, TRUE_VALUES["mixture"])[None, :]
    found = optimum(MIXTURE, theta, 1e22, {"sparsity": 0.9})
    assert 6.0 * 0.1 * found.params[0] * found.tokens[0] == pytest.approx(1e22)


def test_over_training_costs_what_gadre_says() -> None:
    """At m times the optimal tokens per parameter the reducible loss grows by (m^eta + m^-eta) / 2."""
    values = TRUE_VALUES["over_training"]
    theta = coordinates(OVER_TRAINING, values)[None, :]
    best = optimum(OVER_TRAINING, theta, 1e21)
    factor = 16.0
    params, tokens = best.params / np.sqrt(factor), best.tokens * np.sqrt(factor)
    columns = {"params": params, "tokens": tokens, "flops": np.array([1e21])}
    loss = np.exp(OVER_TRAINING.surface(columns).log_loss(theta))[0, 0]
    growth = (factor ** values["eta"] + factor ** -values["eta"]) / 2.0
    assert (loss - values["E"]) / (best.loss[0] - values["E"]) == pytest.approx(growth, rel=1e-5)


def test_an_optimum_that_is_none_is_refused() -> None:
    with pytest.raises(BadInputError, match="flops = nan"):
        optimum(HOFFMANN, THETA[None, :], float("nan"))
    with pytest.raises(BadInputError, match="no law of params and tokens"):
        optimum(ERROR, THETA[None, :], 1e20)



def test_approach_2_is_right_where_exponents_are_equal_and_biased_where_they_are_not() -> None:
    """arXiv 2603.22339: parabolas on noiseless points still miss; approach 3 does not."""
    tied = approach_2(isoflop_runs(TIED, BUDGETS))
    assert tied.exponent == pytest.approx(0.5, abs=0.005)
    runs = isoflop_runs(HOFFMANN, BUDGETS, width=2.5, shift=1.0)
    true = frontier_exponent(TRUE_VALUES["hoffmann"]["alpha"], TRUE_VALUES["hoffmann"]["beta"])
    by_parabolas = approach_2(runs)
    exact = optimum(HOFFMANN, THETA[None, :], 1e24).params[0]
    by_law = fit(runs, HOFFMANN)
    assert optimum(HOFFMANN, by_law.theta[None, :], 1e24).params[0] == pytest.approx(exact, rel=1e-3)
    assert abs(np.log(by_parabolas.optimal_params(1e24) / exact)) > 0.1
    assert frontier_exponent(by_law.values["alpha"], by_law.values["beta"]) == pytest.approx(true, abs=1e-4)


def test_approach_2_holds_its_vertices_in_an_interval_and_says_what_it_left_out() -> None:
    runs = isoflop_runs(HOFFMANN, BUDGETS)
    noise = np.exp(0.002 * np.random.default_rng(0).normal(size=len(runs)))
    found = approach_2(replace(runs, loss=runs.loss * noise), bootstrap=100)
    low, high = found.exponent_interval(0.9) or (0.0, 0.0)
    assert low < found.exponent < high
    assert found.params_interval(1e22, 0.5) is not None
    with pytest.raises(BadRunsError, match="least loss within the"):
        approach_2(isoflop_runs(HOFFMANN, BUDGETS, width=0.5, shift=5.0))
    with pytest.raises(BadRunsError, match="2 budgets with 5 sizes"):
        approach_2(isoflop_runs(HOFFMANN, BUDGETS, sizes=4))


def learning_curves() -> Runs:
    sizes = np.geomspace(1e7, 1e10, 16)
    tokens = np.geomspace(1e8, 1e12, 60)
    params, seen = (grid.ravel() for grid in np.meshgrid(sizes, tokens, indexing="ij"))
    loss = np.exp(HOFFMANN.surface({"params": params, "tokens": seen}).log_loss(THETA[None, :]))[0]
    groups = np.array([f"{size:g}" for size in params])
    return replace(runs_of(params, seen, loss), group=groups)


def test_approach_1_follows_the_envelope_of_learning_curves() -> None:
    found = approach_1(learning_curves(), bootstrap=20)
    true = frontier_exponent(TRUE_VALUES["hoffmann"]["alpha"], TRUE_VALUES["hoffmann"]["beta"])
    assert found.exponent == pytest.approx(true, abs=0.03)
    assert found.optimal_params(1e20) == pytest.approx(optimum(HOFFMANN, THETA[None, :], 1e20).params[0], rel=0.15)
    assert len(found.exponents) <= 20
    assert not found.notes


def test_approach_1_of_ends_alone_says_so() -> None:
    found = approach_1(isoflop_runs(HOFFMANN, BUDGETS))
    assert "no learning curves" in found.notes[0]
    assert found.params_interval(1e20) is None
    with pytest.raises(BadRunsError, match="a line needs 3"):
        approach_1(isoflop_runs(HOFFMANN, BUDGETS[:1]))


@pytest.mark.parametrize(("name", "condition", "least_factor"), [("llama_3", "raw_loss", 1.4), ("misfitting", "", 1.4)])
def test_approaches_2_and_3_disagree_on_real_runs_and_it_is_said(
    name: str, condition: str, least_factor: float
) -> None:
    runs = reference(lambda: law_data.isoflop(name, condition))
    found = compare(runs, flops=5.76e23)
    sizes = {row.by: row.params for row in found.rows}
    assert sizes["approach 3 (hoffmann)"] / sizes["approach 2"] > least_factor
    assert any("DISAGREE by a factor of" in note for note in found.notes)


def test_without_inference_the_cheapest_model_is_the_compute_optimal_one() -> None:
    best = optimum(HOFFMANN, THETA[None, :], 1e23)
    found = cheapest(HOFFMANN, THETA, float(best.loss[0]), Serving())
    assert found.params == pytest.approx(best.params[0], rel=1e-3)
    assert found.cost == found.training_cost == pytest.approx(1e23, rel=1e-6)


def test_inference_makes_models_smaller_and_trains_them_longer() -> None:
    """Sardana and Frankle 2023: the more tokens are asked, the smaller the model."""
    loss = float(optimum(HOFFMANN, THETA[None, :], 1e23).loss[0])
    found = [cheapest(HOFFMANN, THETA, loss, Serving(answer_tokens=asked)) for asked in (0.0, 1e12, 1e14)]
    assert found[0].params > found[1].params > found[2].params
    assert found[0].tokens < found[1].tokens < found[2].tokens
    assert all(6.0 * each.params * each.tokens == pytest.approx(each.training_cost) for each in found)
    slow = Serving(answer_tokens=1e12, training_price=machine_price(2.0, 1e15, 0.4),
                   answer_price=machine_price(2.0, 1e15, 0.02))  # fmt: skip
    assert cheapest(HOFFMANN, THETA, loss, slow).params < found[1].params


def test_a_loss_below_the_floor_is_refused() -> None:
    with pytest.raises(RefusedError, match="its floor is above"):
        cheapest(HOFFMANN, THETA, 1.6, Serving())
    with pytest.raises(BadInputError, match="alone"):
        cheapest(OVER_TRAINING, THETA[:4], 2.0, Serving())
    with pytest.raises(BadInputError, match="answer_tokens = -1"):
        Serving(answer_tokens=-1.0)
    with pytest.raises(BadInputError, match="utilisation"):
        machine_price(2.0, 1e15, 1.2)
