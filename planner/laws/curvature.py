"""Curvature of surfaces whose second derivatives are not worth writing out: differences of their analytic gradient."""

from collections.abc import Callable

import numpy as np

from planner.laws.runs import Array

_STEP = 6e-6
"""Near the cube root of the machine's precision, where central differences err least; coordinates are of order one."""


def differenced_curvature(gradient: Callable[[Array], Array], theta: Array) -> Callable[[Array], Array]:
    """Return the `curvature` of an Expansion at `theta`, (b, p), of a surface with this gradient, (b, n, p)."""

    def curvature(weights: Array) -> Array:
        rows = []
        for at in range(theta.shape[1]):
            step = np.zeros(theta.shape[1])
            step[at] = _STEP
            change = gradient(theta + step) - gradient(theta - step)
            rows.append(np.matmul(weights[:, None, :], change)[:, 0, :] / (2.0 * _STEP))
        second = np.stack(rows, axis=1)
        return np.asarray(0.5 * (second + second.transpose(0, 2, 1)))

    return curvature
