"""Laws at known parameters, columns for them, and the reference data, for the tests of planner/laws/."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from planner.errors import NoReferenceDataError
from planner.laws.catalogue import LAWS
from planner.laws.law import Law, predict
from planner.laws.runs import Array, Runs, runs_of

Given = TypeVar("Given")

TRUE_VALUES: dict[str, dict[str, float]] = {
    "hoffmann": {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.3},
    "tied": {"E": 1.9, "A": 500.0, "B": 1500.0, "alpha": 0.36},
    "over_training": {"E": 1.8, "a": 700.0, "b": 2400.0, "eta": 0.18},
    "kaplan": {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095},
    "data_constrained": {"R_D*": 12.0, "R_N*": 4.0},
    "width_depth": {"E": 1.6, "A": 9.0, "B": 0.9, "C": 60.0, "D": 500.0, "alpha": 0.6, "beta": 0.9, "gamma": 0.3,
                    "zeta": 0.29},
    "mixture": {"e": 1.5, "a": 300.0, "b": 900.0, "c": 0.05, "d": 20.0, "alpha": 0.34, "beta": 0.31, "lambda": 0.4,
                "delta": 0.2, "gamma": 0.2},
    "fine_tuning": {"E": 0.8, "A": 160.0, "alpha": 0.15, "beta": 0.12},
    "fine_tuning_by_data": {"E": 0.8, "A": 160.0, "alpha": 0.12, "beta": 0.12},
    "learning_curve": {"L0": 2.6, "A": 0.6, "C": 0.2, "alpha": 0.5},
    "error": {"B": 6.0, "alpha": 0.11},
}  # fmt: skip


def columns_of_runs(count: int = 80, seed: int = 1) -> dict[str, Array]:
    """Return every column that any law needs, over the ranges in which runs lie."""
    rng = np.random.default_rng(seed)

    def spread(low: float, high: float) -> Array:
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    params, tokens = spread(1e7, 1e10), spread(2e8, 1e12)
    return {
        "params": params,
        "tokens": tokens,
        "flops": 6.0 * params * tokens,
        "unique_tokens": tokens / np.where(np.arange(count) % 3, spread(1.0, 60.0), 1.0),
        "width": spread(128, 8192),
        "depth": spread(4, 96),
        "sparsity": rng.uniform(0.0, 0.97, count),
        "finetune_tokens": spread(1e5, 1e9),
        "pretrain_tokens": spread(1e9, 1e12),
        "forward_area": spread(0.05, 20.0),
        "annealing_area": spread(1e-3, 0.9),
    }


def noiseless(law: Law, count: int = 80, seed: int = 1) -> Runs:
    """Return runs that lie exactly on a law at its true values."""
    columns = columns_of_runs(count, seed)
    loss = predict(law, TRUE_VALUES[law.name], {name: columns[name] for name in law.columns})
    other = {name: values for name, values in columns.items() if name not in {"params", "tokens", "flops"}}
    return runs_of(columns["params"], columns["tokens"], loss, columns["flops"], **other)


def isoflop_runs(law: Law, budgets: Array, sizes: int = 9, width: float = 1.5, shift: float = 0.0) -> Runs:
    """Return runs on a law of params and tokens: at each budget, sizes evenly around 20 tokens per parameter."""
    centre = np.sqrt(budgets / 120.0)
    params = np.concatenate([middle * np.exp(np.linspace(-width, width, sizes) + shift) for middle in centre])
    flops = np.repeat(budgets, sizes)
    columns = {"params": params, "tokens": flops / 6.0 / params}
    return runs_of(params, columns["tokens"], predict(law, TRUE_VALUES[law.name], columns), flops)


def reference(load: Callable[[], Given]) -> Given:
    """Return what `load` reads from the reference data, or skip the test with the reason why it cannot."""
    try:
        return load()
    except NoReferenceDataError as error:
        pytest.skip(str(error))


ALL_LAWS = list(LAWS.values())
