"""Fits of many runs are those that plain code finds: a vectorised step, blocks and sorted parts change no number."""

import numpy as np
import pytest
from fixtures_forecasts import runs as some_runs

from planner.forecasts.interaction_law import NUM_PARAMETERS, Array, Reference, log_loss, log_loss_and_gradient
from planner.forecasts.members import MEMBERS
from planner.forecasts.posterior import HUBER, ITERATIONS, STARTS, fit, weighted_quantile, weights_of
from planner.forecasts.priors import Prior
from planner.laws.runs import Runs


def many_runs(count: int) -> Runs:
    few = some_runs()
    some = few.take(np.arange(count) % len(few))
    noise = np.exp(0.01 * np.random.default_rng(1).standard_normal((3, count)))
    params, tokens = some.params * noise[0], some.tokens * noise[1]
    return Runs(params, tokens, some.loss * noise[2], 6.0 * params * tokens)


def plainly_fitted(runs: Runs, prior: Prior, theta: Array) -> tuple[float, Array]:
    """Return cost and mode of Levenberg-Marquardt from one start: all runs at once, numpy's own logaddexp."""
    reference = Reference.of(runs)
    x, y = reference.coordinates(runs.params, runs.tokens)
    z, weights, scale, damping = np.log(runs.loss) - reference.log_loss, weights_of(runs, prior), 0.02, 1e-2
    normals = (
        (np.eye(6)[0], prior.log_floor, prior.log_floor_sd), (np.eye(6)[3], prior.exponent, prior.exponent_sd),
        (np.eye(6)[4], prior.exponent, prior.exponent_sd), (np.eye(6)[5], 0.0, prior.log_kappa_sd),
        (np.eye(6)[3] - np.eye(6)[4], 0.0, prior.exponent_gap_sd),
    )  # fmt: skip
    rows = np.array([row / sd for row, _, sd in normals])
    means = np.array([mean / sd for _, mean, sd in normals])

    def left(theta: Array) -> Array:
        floor, a, b, alpha, beta, log_kappa = theta
        kappa = np.exp(log_kappa)
        both = np.logaddexp((a - alpha * x) / kappa, (b - beta * y) / kappa)
        return np.asarray(z - np.logaddexp(floor, kappa * both))

    def cost(theta: Array, scale: float) -> float:
        size = np.abs(left(theta)) / scale
        huber = np.where(size <= HUBER, size**2 / 2, HUBER * size - HUBER**2 / 2)
        return float((weights * huber).sum() + ((rows @ theta - means) ** 2).sum() / 2)

    for iteration in range(ITERATIONS):
        residual = left(theta)
        if iteration % 4 == 0:
            order = np.abs(residual).argsort()
            mass = weights[order].cumsum()
            median = np.abs(residual)[order][(mass < mass[-1] / 2).sum()]
            scale = np.hypot(1.4826 * median, prior.noise_floor)
        gradient = log_loss_and_gradient(theta[None], x, y)[1][0]
        each = weights * np.minimum(1.0, HUBER * scale / np.abs(residual)) / scale**2
        matrix = gradient.T @ (gradient * each[:, None]) + rows.T @ rows
        slope = gradient.T @ (each * residual) - rows.T @ (rows @ theta - means)
        damped = matrix + np.diag(damping * np.diag(matrix) + 1e-9)
        tried = theta + np.clip(np.linalg.solve(damped, slope), -0.7, 0.7)
        is_better = cost(tried, scale) <= cost(theta, scale)
        theta = tried if is_better else theta
        damping = float(np.clip(damping * (0.3 if is_better else 5.0), 1e-9, 1e6))
    return cost(theta, scale) + weights.sum() * float(np.log(scale)), theta


@pytest.mark.parametrize("count", [60, 12_345])
def test_fits_are_those_of_plain_code(count: int) -> None:
    runs = many_runs(count)
    priors = [MEMBERS[0][0], MEMBERS[7][3]]
    found = fit(runs, priors)
    reference = Reference.of(runs)
    coordinates = reference.coordinates(runs.params[:50], runs.tokens[:50])
    for prior, theta in zip(priors, found.theta, strict=True):
        _, expected = min((plainly_fitted(runs, prior, start) for start in STARTS), key=lambda pair: pair[0])
        losses = [log_loss(each[None], *coordinates) for each in (theta, expected)]
        np.testing.assert_allclose(*losses, rtol=0.0, atol=1e-9)


def test_the_law_is_that_of_logaddexp() -> None:
    random = np.random.default_rng(0)
    theta = random.standard_normal((50, NUM_PARAMETERS))
    x, y = 5.0 * random.standard_normal((2, 40))
    floor, a, b, alpha, beta, log_kappa = (theta[:, at, None] for at in range(NUM_PARAMETERS))
    kappa = np.exp(log_kappa)
    first, second = (a - alpha * x) / kappa, (b - beta * y) / kappa
    expected = np.logaddexp(floor, kappa * np.logaddexp(first, second))
    np.testing.assert_allclose(log_loss(theta, x, y), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("quantile", [0.02, 0.5, 0.9, 1.0])
def test_quantiles_of_long_rows_are_those_of_all_sorted(quantile: float) -> None:
    random = np.random.default_rng(0)
    values, weights = random.standard_normal(9_001), random.random(9_001)
    values[::4] = np.sort(values[::4])  # of which a sample tells little
    order = values.argsort()
    mass = weights[order].cumsum()
    expected = values[order][min((mass < quantile * mass[-1]).sum(), 9_000)]
    assert weighted_quantile(values[None], weights[None], quantile)[0] == expected


def test_how_far_it_is_is_told() -> None:
    told: list[tuple[int, int]] = []
    fit(many_runs(6_000), [MEMBERS[0][0]] * 3, iterations=1, tell=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
