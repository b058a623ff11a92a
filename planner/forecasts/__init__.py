"""How good a run that has not begun will get, with an interval that was measured; and which run to make next.

Names are imported when they are first used, so that the command line starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.forecasts.backtesting import Backtest, answer, backtest, own_runs, sets_in_folder
    from planner.forecasts.evidence import Evidence
    from planner.forecasts.forecaster import Forecaster, LossForecast
    from planner.forecasts.grid import PlannedRun, isoflop_grid
    from planner.forecasts.ledger import Head, Ledger
    from planner.forecasts.ledger_entries import Entry, Forecast, Outcome, Predicted, Result
    from planner.forecasts.next_design import NextRuns, Quantity, Target, next_runs, targets_at
    from planner.forecasts.pictures import draw_backtest, draw_frontier
    from planner.forecasts.scores import Scores, score
    from planner.forecasts.splits import RunSet, Split

__all__ = [
    "Backtest",
    "Entry",
    "Evidence",
    "Forecast",
    "Forecaster",
    "Head",
    "Ledger",
    "LossForecast",
    "NextRuns",
    "Outcome",
    "PlannedRun",
    "Predicted",
    "Quantity",
    "Result",
    "RunSet",
    "Scores",
    "Split",
    "Target",
    "answer",
    "backtest",
    "draw_backtest",
    "draw_frontier",
    "isoflop_grid",
    "next_runs",
    "own_runs",
    "score",
    "sets_in_folder",
    "targets_at",
]

_HOMES = {
    "backtesting": ("Backtest", "answer", "backtest", "own_runs", "sets_in_folder"),
    "evidence": ("Evidence",),
    "forecaster": ("Forecaster", "LossForecast"),
    "grid": ("PlannedRun", "isoflop_grid"),
    "ledger": ("Head", "Ledger"),
    "ledger_entries": ("Entry", "Forecast", "Outcome", "Predicted", "Result"),
    "next_design": ("NextRuns", "Quantity", "Target", "next_runs", "targets_at"),
    "pictures": ("draw_backtest", "draw_frontier"),
    "scores": ("Scores", "score"),
    "splits": ("RunSet", "Split"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
