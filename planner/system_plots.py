"""Pictures of memory, time and price. The only file of these with matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planner.cost_comparison import Offer
from planner.errors import BadInputError
from planner.memory_verdict import Verdict
from planner.time_step import StepTime

GIB = 1 << 30


def memory_waterfall(verdict: Verdict, path: Path, *, title: str) -> Path:
    """Draw the parts of a rank's memory on top of each other, beside what there is. Returns the file."""
    figure, axes = _figure(title)
    parts = [(name, size / GIB) for name, size in verdict.estimate.parts if size > 0.0]
    below = 0.0
    for number, (_, size) in enumerate(parts):
        axes.bar(number, size, bottom=below, color="tab:blue")
        below += size
    axes.bar(len(parts), below, color="tab:green" if verdict.fits else "tab:red")
    axes.axhline(verdict.capacity_bytes / GIB, color="black", linestyle="--", label="capacity")
    axes.set_xticks(range(len(parts) + 1), [*(name for name, _ in parts), "total"], rotation=30, ha="right")
    axes.set_ylabel("GiB")
    axes.legend()
    return _saved(figure, path)


def time_breakdown(step: StepTime, path: Path, *, title: str) -> Path:
    """Draw the parts of a step's time. Returns the file."""
    figure, axes = _figure(title)
    parts = [(name, seconds) for name, seconds in step.parts if seconds > 0.0]
    axes.barh([name for name, _ in parts], [seconds for _, seconds in parts], color="tab:blue")
    axes.invert_yaxis()
    axes.set_xlabel(f"s of a step of {step.total_s:.4g} s")
    return _saved(figure, path)


def price_performance(offers: Sequence[Offer], path: Path, *, title: str) -> Path:
    """Draw dollars against hours, with ranges; offers that no other beats in both are joined. Returns the file."""
    figure, axes = _figure(title)
    points = _points(offers)
    for hours, usd, offer in points:
        low, high = offer.interval_usd or (usd, usd)
        axes.errorbar(hours, usd, yerr=[[usd - low], [high - usd]], fmt="o", capsize=3)
        as_of = "" if offer.price is None else f" ({offer.price.as_of})"
        axes.annotate(f"{offer.instance.name}{as_of}", (hours, usd), textcoords="offset points", xytext=(6, 4))
    front: list[tuple[float, float]] = []
    for hours, usd, _ in points:
        if not front or usd < front[-1][1]:
            front.append((hours, usd))
    axes.plot([hours for hours, _ in front], [usd for _, usd in front], color="grey", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("hours")
    axes.set_ylabel("dollars, of the day beside the name")
    return _saved(figure, path)


def _points(offers: Sequence[Offer]) -> list[tuple[float, float, Offer]]:
    found = [(offer.cost.wall_s / 3600.0, offer.cost.total_usd, offer) for offer in offers if offer.cost is not None]
    return sorted(found, key=lambda point: point[:2])


def _figure(title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError as error:
        raise BadInputError(f"pictures need matplotlib: pip install 'ostinato[plot]' ({error})") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    return figure, axes


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path)
    return path
