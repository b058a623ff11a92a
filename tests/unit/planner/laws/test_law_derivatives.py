"""Every law's analytic gradient and curvature equal finite differences of its prediction, wherever it is looked at."""

import numpy as np
import pytest
from fixtures_laws import ALL_LAWS, TRUE_VALUES, columns_of_runs
from hypothesis import given, settings, strategies as st

from planner.errors import BadInputError, UnknownNameError
from planner.laws.law import Law, coordinates, needed, predict, values_of
from planner.laws.loss_laws import HOFFMANN

STEP = 1e-5


def near(law: Law, seed: int) -> np.ndarray:
    true = coordinates(law, TRUE_VALUES[law.name])
    return true * (1.0 + 0.05 * np.random.default_rng(seed).uniform(-1.0, 1.0, len(true)))


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: law.name)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_gradient_is_that_of_finite_differences(law: Law, seed: int) -> None:
    surface = law.surface(needed(law, columns_of_runs(20, seed)))
    theta = near(law, seed)
    moves = STEP * np.eye(len(theta))
    differences = (surface.log_loss(theta + moves) - surface.log_loss(theta - moves)) / (2.0 * STEP)
    gradient = surface.expand(theta[None, :]).gradient[0]
    assert gradient == pytest.approx(differences.T, abs=2e-8, rel=2e-6)


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: law.name)
def test_the_curvature_is_that_of_finite_differences(law: Law) -> None:
    surface = law.surface(needed(law, columns_of_runs(20, 3)))
    theta = near(law, 3)
    weights = np.random.default_rng(4).normal(size=(1, 20))
    moves = STEP * np.eye(len(theta))
    around = surface.expand(theta + moves).gradient - surface.expand(theta - moves).gradient
    differences = np.einsum("n,pnq->pq", weights[0], around) / (2.0 * STEP)
    curvature = surface.expand(theta[None, :]).curvature(weights)[0]
    scale = max(np.abs(differences).max(), 1e-3)
    assert curvature / scale == pytest.approx(differences / scale, abs=1e-5)


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: law.name)
def test_log_loss_of_an_expansion_is_log_loss(law: Law) -> None:
    surface = law.surface(needed(law, columns_of_runs(20, 5)))
    theta = np.stack([near(law, seed) for seed in range(3)])
    assert np.array_equal(surface.expand(theta).log_loss, surface.log_loss(theta))


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: law.name)
def test_coordinates_and_values_are_inverse(law: Law) -> None:
    values = values_of(law, coordinates(law, TRUE_VALUES[law.name]))
    assert dict(zip((p.name for p in law.parameters), values, strict=True)) == pytest.approx(TRUE_VALUES[law.name])


@pytest.mark.parametrize("law", ALL_LAWS, ids=lambda law: law.name)
def test_every_law_names_its_paper(law: Law) -> None:
    assert "arXiv" in law.source


def test_predict_is_the_formula() -> None:
    loss = predict(HOFFMANN, TRUE_VALUES["hoffmann"], {"params": np.array([1e9]), "tokens": np.array([2e10])})
    assert loss[0] == pytest.approx(1.7 + 400.0 / 1e9**0.34 + 900.0 / 2e10**0.3, rel=1e-12)


def test_parameters_and_columns_that_are_not_there_are_named() -> None:
    columns = {"params": np.array([1e9])}
    with pytest.raises(UnknownNameError, match="beta"):
        predict(HOFFMANN, {"E": 1.0, "A": 1.0, "B": 1.0, "alpha": 0.3}, columns)
    with pytest.raises(UnknownNameError, match="tokens"):
        needed(HOFFMANN, columns)
    with pytest.raises(BadInputError, match=r"alpha = -1.*\[0, 4\]"):
        predict(HOFFMANN, {**TRUE_VALUES["hoffmann"], "alpha": -1.0}, columns)
