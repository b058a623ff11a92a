"""Pictures of recommendations: the Pareto front, and what each kind of machines gives for the money.

Needs matplotlib (the extra `plot`).
"""

from collections.abc import Callable, Sequence
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
    """Return loss over spending and over days, with 90 % intervals; the numbers are those of accelerators."""
    figure, axes = _figure("plans that none other beats in loss, spending and days", panels=2)
    over = ((_spent, _unit(found.front) + ", training and inference"), (_days, "days of training"))
    for axis, (position, label) in zip(axes, over, strict=True):
        for name in dict.fromkeys(map(_name, found.front)):
            _points(axis, [plan for plan in found.front if _name(plan) == name], position, name)
        chosen = found.choice
        axis.plot(position(chosen), chosen.loss, "*", markersize=16, color="tab:red", label="the choice", zorder=5)
        axis.set_xscale("log")
        axis.set_xlabel(label)
    axes[0].set_ylabel("loss, with 90 % interval")
    axes[0].legend(fontsize="small")
    return figure


def _points(axis: Any, plans: Sequence[Plan], position: Callable[[Plan], float], name: str) -> None:
    x = [position(plan) for plan in plans]
    losses = [plan.loss for plan in plans]
    below = [plan.loss - plan.loss_range[0] for plan in plans]
    above = [plan.loss_range[1] - plan.loss for plan in plans]
    axis.errorbar(x, losses, yerr=[below, above], fmt="o", capsize=2, alpha=0.85, label=name)
    labelled: dict[str, Plan] = {}
    for at, plan in zip(x, plans, strict=True):
        if labelled.setdefault(f"{at:.2g}", plan) is plan:  # those at one place would lie on top of each other
            number = str(plan.machines.devices)
            axis.annotate(number, (at, plan.loss), textcoords="offset points", xytext=(5, 5), fontsize="x-small")


def price_figure(plans: Sequence[Plan]) -> Any:
    """Return model FLOPs for the money over days, by kind of machines and their number."""
    title = "what the money buys: compute of the run, as the law counts it, per unit of spending"
    figure, (axis,) = _figure(title)
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


def _days(plan: Plan) -> float:
    return plan.days


def _unit(plans: Sequence[Plan]) -> str:
    return "dollars" if all(plan.usd is not None for plan in plans) else "device-hours"


def _figure(title: str, panels: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra, and slow to import

    figure = Figure(figsize=(4.5 * panels + 3.0, 4.8), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    figure.suptitle(title, fontsize="small")
    for axis in axes:
        axis.grid(visible=True, alpha=0.25)
    return figure, axes
