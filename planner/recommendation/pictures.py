"""Pictures of recommendations: the Pareto front, and what each kind of machines gives for the money.

Needs matplotlib (the extra `plot`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from planner.pictures import DIM, SERIES, drawing, logarithmic, show_flops, show_usd
from planner.quantities import show_count
from planner.recommendation.plans import Plan
from planner.recommendation.recommend import Recommendation


def draw_recommendation(found: Recommendation, folder: Path, kind: str = "png") -> list[Path]:
    """Draw the front and price-performance into `folder`, as png or svg. Returns the files.

    Raises ImportError if matplotlib is missing, OSError if the folder cannot be written.
    """
    return [
        _front(found, folder / f"front.{kind}"),
        _price_performance(found.front, folder / f"price_performance.{kind}"),
    ]


def _front(found: Recommendation, path: Path) -> Path:
    """Draw loss over spending and over days, with 90 % intervals."""
    chosen, names = found.choice, _names(found.front)
    unit = "dollars" if _is_priced(found.front) else "device-hours"
    title = "Plans that none other beats in loss, spending and days"
    with drawing(path, title, panels=2, extra_inches=3.0) as axes:
        over = ((_spent, f"{unit}, training and inference"), (_days, "days of training"))
        for axis, (position, label) in zip(axes, over, strict=True):
            for at, name in enumerate(names):
                plans = [plan for plan in found.front if _name(plan) == name]
                _points(axis, plans, position, SERIES[at % len(SERIES)], name)
            axis.plot(
                position(chosen), chosen.loss, "*", markersize=15, color=SERIES[4], label="the choice", zorder=5
            )
            axis.set_xlabel(label)
        axes[0].set_ylabel("loss, with 90 % interval")
        logarithmic(axes[0], "x", show_usd if _is_priced(found.front) else show_count)
        axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return path


def _points(axis: Any, plans: Sequence[Plan], position: Callable[[Plan], float], colour: str, name: str) -> None:
    x, losses = [position(plan) for plan in plans], [plan.loss for plan in plans]
    below = [plan.loss - plan.loss_range[0] for plan in plans]
    above = [plan.loss_range[1] - plan.loss for plan in plans]
    axis.errorbar(
        x, losses, yerr=[below, above], fmt="o", markersize=4, linewidth=0.8, color=colour, alpha=0.85, label=name
    )


def _price_performance(plans: Sequence[Plan], path: Path) -> Path:
    """Draw the compute that each plan has of what it spends, one row for each kind of machines, the best first."""
    gains = {name: [plan.flops / _spent(plan) for plan in plans if _name(plan) == name] for name in _names(plans)}
    ordered = sorted(gains, key=lambda name: max(gains[name]))
    unit = "dollar" if _is_priced(plans) else "device-hour"
    with drawing(path, f"Compute for a {unit}, by kind of machines") as (axis,):
        for row, name in enumerate(ordered):
            axis.plot((min(gains[name]), max(gains[name])), (row, row), color=DIM, linewidth=1.0)
            axis.plot(gains[name], [row] * len(gains[name]), "o", markersize=5, color=SERIES[0], alpha=0.8)
        axis.set_yticks(range(len(ordered)), ordered)
        axis.set_xlim(left=0.0)
        axis.xaxis.set_major_formatter(lambda value, _: show_flops(value) if value else "0")
        axis.set_xlabel(f"FLOPs of the run for a {unit}")
    return path


def _names(plans: Sequence[Plan]) -> list[str]:
    return list(dict.fromkeys(map(_name, plans)))


def _name(plan: Plan) -> str:
    price = plan.machines.price
    dated = "" if price is None else f", {price.terms.replace('_', ' ')} {price.as_of}"
    return f"{plan.machines.instance.name}{dated}"


def _spent(plan: Plan) -> float:
    return plan.device_hours if plan.usd is None else plan.usd


def _days(plan: Plan) -> float:
    return plan.days


def _is_priced(plans: Sequence[Plan]) -> bool:
    return all(plan.usd is not None for plan in plans)
