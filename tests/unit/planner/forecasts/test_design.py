"""Grids and next runs."""

import numpy as np
import pytest
from fixtures_forecasts import runs

from planner.errors import BadInputError, RefusedError
from planner.forecasts import Quantity, Target, isoflop_grid, next_runs, targets_at
from planner.forecasts.design_trial import try_design
from planner.forecasts.interaction_law import Array, Reference
from planner.forecasts.next_design import _target_gradient, best_size
from planner.laws.runs import Runs


def test_a_grid_lies_about_the_best_size() -> None:
    grid = isoflop_grid([1e18, 1e19], 5)
    assert len(grid) == 10
    assert all(6.0 * run.params * run.tokens == pytest.approx(run.flops) for run in grid)
    assert grid[2].tokens / grid[2].params == pytest.approx(20.0)
    assert grid[4].params / grid[0].params == pytest.approx(64.0)


def test_a_grid_reuses_runs_there_are() -> None:
    grid = isoflop_grid([1e18, 1e19], 5)
    made = Runs(np.array([1.1 * grid[0].params]), np.array([1.0]), np.array([3.0]), np.array([1.02e18]))
    assert isoflop_grid([1e18, 1e19], 5, reuse=made) == grid[1:]


@pytest.mark.parametrize(("budgets", "points", "spread"), [([1e18], 2, 8.0), ([-1.0], 5, 8.0), ([1e18], 5, 1.0)])
def test_grids_that_cannot_be_meant(budgets: list[float], points: int, spread: float) -> None:
    with pytest.raises(BadInputError):
        isoflop_grid(budgets, points, spread=spread)


def test_the_gradient_of_the_best_size_is_a_finite_difference() -> None:
    theta = np.array([-0.5, -1.7, -1.9, 0.35, 0.4, 0.2])
    reference = Reference(20.0, 23.0, 1.0)
    target = Target(quantity=Quantity.PARAMS, flops=1e22, tolerance=0.1)
    gradient = _target_gradient(theta, target, reference, 1.0)

    def size(at: Array) -> float:
        return best_size(at, reference, 1e22 / 6.0)[0]

    for at, step in enumerate(1e-6 * np.eye(6)):
        assert gradient[at] == pytest.approx((size(theta + step) - size(theta - step)) / 2e-6, abs=1e-6)


def test_next_runs_narrow_the_targets_within_the_spend() -> None:
    found = next_runs(runs(), targets_at(1e22), spend=3e20, most_flops=1e20)
    assert 0 < len(found.runs) <= 8
    assert found.cost <= 3e20
    assert all(run.flops <= 1.001e20 for run in found.runs)
    assert all(after < before for before, after in zip(found.before, found.after, strict=True))
    more = next_runs(runs(), targets_at(1e22), spend=6e20, most_flops=1e20, most_runs=16)
    assert more.after[0] < found.after[0]


def test_dear_sizes_are_left_out() -> None:
    def dollars(params: Array, tokens: Array, flops: Array) -> Array:
        del tokens
        return np.asarray(flops / 1e18 * np.where(params > 1e9, 1e6, 1.0))

    found = next_runs(runs(), targets_at(1e22), spend=200.0, most_flops=1e20, cost=dollars)
    assert all(run.params <= 1e9 for run in found.runs)


def test_what_cannot_be_designed() -> None:
    with pytest.raises(RefusedError, match="pays for no run"):
        next_runs(runs(), targets_at(1e22), spend=1.0, most_flops=1e20)
    with pytest.raises(BadInputError, match="no targets"):
        next_runs(runs(), (), spend=1e20, most_flops=1e20)
    with pytest.raises(BadInputError, match="target loss"):
        Target(quantity=Quantity.LOSS, flops=-1.0, tolerance=0.1)


def test_half_the_compute_of_a_grid_is_enough() -> None:
    trial = try_design(runs(low=17.0, high=20.0), largest_flops=1e20, share=0.5, seeds=25)
    assert trial.design_loss < trial.grid_loss
    assert trial.design_params < trial.grid_params
    assert trial.design_runs > trial.grid_runs
