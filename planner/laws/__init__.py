"""Scaling laws: how loss depends on parameters, tokens and more, and their fits to runs. See docs/planner.md.

Names are imported when they are first used, so that the command line starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.laws.catalogue import LAWS, law_named
    from planner.laws.comparison import Comparison, compare
    from planner.laws.compute_optimal import Optimum, optimum
    from planner.laws.envelope import approach_1
    from planner.laws.fit_plots import draw_fits
    from planner.laws.fitting import Fit, fit, objective_at
    from planner.laws.frontier import Frontier
    from planner.laws.inference_aware import Serving, cheapest, machine_price
    from planner.laws.isoflop import approach_2
    from planner.laws.law import Law, predict
    from planner.laws.repetition import Posterior, posterior
    from planner.laws.runs import Runs, runs_of
    from planner.laws.runs_file import read_runs

__all__ = [
    "LAWS",
    "Comparison",
    "Fit",
    "Frontier",
    "Law",
    "Optimum",
    "Posterior",
    "Runs",
    "Serving",
    "approach_1",
    "approach_2",
    "cheapest",
    "compare",
    "draw_fits",
    "fit",
    "law_named",
    "machine_price",
    "objective_at",
    "optimum",
    "posterior",
    "predict",
    "read_runs",
    "runs_of",
]

_HOMES = {
    "catalogue": ("LAWS", "law_named"),
    "comparison": ("Comparison", "compare"),
    "compute_optimal": ("Optimum", "optimum"),
    "envelope": ("approach_1",),
    "fitting": ("Fit", "fit", "objective_at"),
    "fit_plots": ("draw_fits",),
    "frontier": ("Frontier",),
    "inference_aware": ("Serving", "cheapest", "machine_price"),
    "isoflop": ("approach_2",),
    "law": ("Law", "predict"),
    "runs_file": ("read_runs",),
    "repetition": ("Posterior", "posterior"),
    "runs": ("Runs", "runs_of"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
