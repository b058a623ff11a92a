"""Fits that others published, and better optima: Chinchilla's points and the data-constrained law."""

from collections.abc import Sequence

import numpy as np

from planner.laws.compute_optimal import frontier_exponent
from planner.laws.data_constrained import DATA_CONSTRAINED, PUBLISHED
from planner.laws.fitting import Fit, fit, objective_at
from planner.laws.loss_laws import HOFFMANN
from planner.laws.outliers import drop_outliers
from planner.laws.repetition import posterior, profile
from planner.verification import law_data
from planner.verification.check import Check

EPOCH = "Besiroglu et al. 2024 (arXiv 2404.10102), notebook of epoch-research/analyzing-chinchilla"
EPOCH_GRID_OBJECTIVE = 0.001018274071
"""The least of Epoch's grid of L-BFGS starts; ours must not be above."""
OPTIMUM = {"E": 1.817218, "A": 477.826, "B": 2143.417, "alpha": 0.347310, "beta": 0.367172}
"""Where a grid of 4,500 L-BFGS starts ends, by our own run of it."""
EPOCH_PRINTED = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.34781, "beta": 0.36585}
HOFFMANN_PRINTED = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
MUENNIGHOFF = "Muennighoff et al. 2023 (arXiv 2305.16264), utils/parametric_fit.ipynb of huggingface/datablations"
MUENNIGHOFF_OBJECTIVE = 0.015825937
BETTER_OBJECTIVE = 0.0158047


def chinchilla_suite() -> Sequence[Check]:
    """Return approach 3 on Epoch's 240 points, and the two traps: printed constants, and the five points left out."""
    runs = law_data.chinchilla()
    kept, _ = drop_outliers(runs, law_data.OUTLIERS)
    found, all_points = fit(runs, HOFFMANN, outliers=law_data.OUTLIERS), fit(runs, HOFFMANN)
    values = found.values
    checks = [
        _at_most("objective of the optimum, 240 points", EPOCH_GRID_OBJECTIVE, found.objective, EPOCH),
        *(_close(f"{name} of the optimum", value, values[name], 1e-4, EPOCH) for name, value in OPTIMUM.items()),
        _close("exponent a = beta / (alpha + beta), 240 points", 0.514, _exponent(found), 2e-3, EPOCH),
        _close("exponent a, all 245 points", 0.565, _exponent(all_points), 2e-3, "five points move it by .05"),
    ]
    printed = objective_at(kept, HOFFMANN, EPOCH_PRINTED)
    checks.append(
        Check(
            "objective of Epoch's printed constants",
            found.objective,
            printed,
            found.objective < printed < 1.01 * found.objective,
            "above the optimum's, by less than one per cent",
            EPOCH,
            "they come from a second fit, with a free Huber scale; and the valley is flat",
        )
    )
    hoffmann = objective_at(kept, HOFFMANN, HOFFMANN_PRINTED)
    checks.append(
        Check(
            "objective of Hoffmann's printed constants",
            found.objective,
            hoffmann,
            hoffmann > 1.2 * found.objective,
            "more than 1.2 times the optimum's",
            "Hoffmann et al. 2022 (arXiv 2203.15556), eq. 10",
            "the rounded constants do not fit their own points",
        )
    )
    return checks


def data_constrained_suite() -> Sequence[Check]:
    """Return the data-constrained law on its 182 rows: their point, a better one, and how flat it is between."""
    runs = law_data.data_constrained()
    published = objective_at(runs, DATA_CONSTRAINED, PUBLISHED)
    found = fit(runs, DATA_CONSTRAINED)
    seen = posterior(DATA_CONSTRAINED, runs)
    half_lives, objective = profile(seen, "R_D*")
    flat = objective[(half_lives >= 10.0) & (half_lives <= 1000.0)].max() / objective.min()
    low, high = seen.quantiles(np.array([0.05, 0.95]))["R_D*"]
    return [
        Check(
            "objective at R_D* = 15.387756, R_N* = 5.309743",
            MUENNIGHOFF_OBJECTIVE,
            published,
            abs(published - MUENNIGHOFF_OBJECTIVE) <= 1e-8,
            "1e-8",
            MUENNIGHOFF,
        ),
        _at_most("objective of the better optimum", BETTER_OBJECTIVE, found.objective, "ours"),
        Check(
            "worst over least objective of the profile, R_D* from 10 to 1,000",
            1.01,
            float(flat),
            bool(flat < 1.01),
            "at most",
            "ours",
            f"R_D* is not identified: 90 % of the posterior lie in [{low:.3g}, {high:.3g}]",
        ),
    ]


def _exponent(found: Fit) -> float:
    return frontier_exponent(found.values["alpha"], found.values["beta"])


def _at_most(name: str, bound: float, found: float, source: str) -> Check:
    return Check(name, bound, found, found <= bound, "at most", source)


def _close(name: str, expected: float, found: float, tolerance: float, source: str) -> Check:
    return Check(name, expected, found, abs(found / expected - 1.0) <= tolerance, f"{tolerance:g} relative", source)
