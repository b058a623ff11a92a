"""Pictures of recommendations: the Pareto front, and what each kind of machines gives for the money.

Needs matplotlib (the extra `plot`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planner.recommendation.plans import Plan
from planner.recommendation.recommend import Recommendation


def draw_recommendation(found: Recommendation, folder: Path) -> list[Path]:
    """Draw the front and price-performance into `folder`. Raises ImportError if matplotlib is missing, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in (("front.png", front_figure(found)), ("price_performance.png", price_figure(found.front))):
        figure.savefig(folder / name, dpi=120)
        files.append(folder / name)
    return files


def front_figure(found: Recommendation) -> Any:
    """Return loss over spending, with 90 % intervals; the size of a point is its days, its colour its machines."""
    figure, axis = _figure("plans that none other beats in loss, spending and days")
    for name in dict.fromkeys(map(_name, found.front)):
        of_name = [plan for plan in found.front if _name(plan) == name]
        spent = [_spent(plan) for plan in of_name]
        below = [plan.loss - plan.loss_range[0] for plan in of_name]
        above = [plan.loss_range[1] - plan.loss for plan in of_name]
        axis.errorbar(
            spent, [plan.loss for plan in of_name], yerr=[below, above], fmt="o", capsize=2, alpha=0.85, label=name
        )
        for x, plan in zip(spent, of_name, strict=True):
            text = f"{plan.machines.devices} · {plan.days:.3g} d"
            axis.annotate(text, (x, plan.loss), textcoords="offset points", xytext=(5, 5), fontsize="x-small")
    chosen = found.choice
    axis.plot(_spent(chosen), chosen.loss, "*", markersize=16, color="tab:red", label="the choice", zorder=5)
    axis.set_xscale("log")
    axis.set_xlabel(_unit(found.front) + ", training and inference")
    axis.set_ylabel("loss, with 90 % interval")
    axis.legend(fontsize="small")
    return figure


def price_figure(plans: Sequence[Plan]) -> Any:
    """Return model FLOPs for the money over days, by kind of machines and their number."""
    figure, axis = _figure("what the money buys: compute of the run, as the law counts it, per unit of spending")
    for name in dict.fromkeys(_name(plan) for plan in plans):
        of_name = sorted((plan for plan in plans if _name(plan) == name), key=lambda plan: plan.days)
        axis.plot(
            [plan.days for plan in of_name], [plan.flops / _spent(plan) for plan in of_name], "o-", label=name
        )
    axis.set_xscale("log")
    axis.set_xlabel("days of training")
    axis.set_ylabel(f"FLOPs / {_unit(plans)}")
    axis.legend(fontsize="small")
    return figure


def _name(plan: Plan) -> str:
    price = plan.machines.price
    dated = "" if price is None else f", {price.terms.replace('_', ' ')} {price.as_of}"
    return f"{plan.machines.instance.name}{dated}"


def _spent(plan: Plan) -> float:
    return plan.device_hours if plan.usd is None else plan.usd


def _unit(plans: Sequence[Plan]) -> str:
    return "dollars" if all(plan.usd is not None for plan in plans) else "device-hours"


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra, and slow to import

    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, loc="left", fontsize="small")
    axis.grid(visible=True, alpha=0.25)
    return figure, axis
