"""Pictures of memory, time and price. Needs matplotlib (the extra `plot`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from planner.cost_comparison import Offer
from planner.errors import BadInputError
from planner.memory_verdict import Verdict
from planner.pictures import DIM, FAINT, INK, PAPER, SERIES, drawing, logarithmic, name_points, show_usd
from planner.time_step import StepTime

GIB = 1 << 30
_FITS, _TOO_MUCH = SERIES[2], SERIES[4]
_ROOM = 1.18
"""To the right of the longest bar, for its number."""
_LONG_HOURS = 48.0


def memory_waterfall(verdict: Verdict, path: Path, *, title: str) -> Path:
    """Draw the parts of a rank's memory one after the other, beside what there is. Returns the file, .png or .svg."""
    parts = [(name, size / GIB) for name, size in verdict.estimate.parts if size > 0.0]
    total, capacity = sum(size for _, size in parts), verdict.capacity_bytes / GIB
    with _drawing(path, title) as axis:
        before = 0.0
        for row, (name, size) in enumerate(parts):
            axis.barh(name, size, left=before, color=SERIES[0], height=0.7)
            _number(axis, before + size, row, f"{size:.3g}")
            before += size
            axis.plot((before, before), (row, row + 1), color=FAINT, linewidth=0.8, zorder=0)
        axis.barh("total", total, color=_FITS if verdict.fits else _TOO_MUCH, height=0.7)
        _number(axis, total, len(parts), f"{total:.3g}")
        axis.axvline(capacity, color=INK, linestyle="--", linewidth=1.0)
        axis.text(capacity, -0.75, f"{capacity:.1f} GiB there are ", ha="right", fontsize=8, color=DIM)
        axis.set(xlim=(0.0, _ROOM * max(total, capacity)), xlabel="GiB on the fullest rank")
        _rows(axis)
    return path


def time_breakdown(step: StepTime, path: Path, *, title: str) -> Path:
    """Draw the parts of a step's time. Returns the file, .png or .svg."""
    parts = [(name, seconds) for name, seconds in step.parts if seconds > 0.0]
    with _drawing(path, title) as axis:
        for row, (name, seconds) in enumerate(parts):
            axis.barh(name, seconds, color=SERIES[0], height=0.7)
            _number(axis, seconds, row, f"{100 * seconds / step.total_s:.1f} %")
        longest = max(seconds for _, seconds in parts)
        axis.set(xlim=(0.0, _ROOM * longest), xlabel=f"seconds of a step of {step.total_s:.4g} s")
        _rows(axis)
    return path


def price_performance(offers: Sequence[Offer], path: Path, *, title: str) -> Path:
    """Draw dollars over time, with ranges; offers that no other beats in both are joined. Returns the file."""
    points = _points(offers)
    is_long = any(hours > _LONG_HOURS for hours, _, _ in points)
    points = [(hours / 24.0 if is_long else hours, usd, offer) for hours, usd, offer in points]
    with _drawing(path, title) as axis:
        front: list[tuple[float, float]] = []
        for time, usd, _ in points:
            if not front or usd < front[-1][1]:
                front.append((time, usd))
        axis.plot([time for time, _ in front], [usd for _, usd in front], color=DIM, linewidth=1.0)
        for time, usd, offer in points:
            low, high = offer.interval_usd or (usd, usd)
            colour = SERIES[0] if (time, usd) in front else SERIES[7]
            axis.errorbar(time, usd, yerr=[[usd - low], [high - usd]], fmt="o", markersize=5, linewidth=1, color=colour)
        axis.margins(x=0.2)
        logarithmic(axis, "x", lambda value: f"{value:.3g}")
        logarithmic(axis, "y", show_usd)
        axis.set(xlabel="days" if is_long else "hours", ylabel="dollars, at the price of the day shown")
        name_points(axis, [(time, usd, _name(offer)) for time, usd, offer in points])
    return path


def _name(offer: Offer) -> str:
    return offer.instance.name if offer.price is None else f"{offer.instance.name} ({offer.price.as_of})"


def _points(offers: Sequence[Offer]) -> list[tuple[float, float, Offer]]:
    found = [(offer.cost.wall_s / 3600.0, offer.cost.total_usd, offer) for offer in offers if offer.cost is not None]
    return sorted(found, key=lambda point: point[:2])


def _number(axis: Any, x: float, row: int, text: str) -> None:
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    axis.annotate(text, (x, row), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=box, zorder=4)


def _rows(axis: Any) -> None:
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


@contextmanager
def _drawing(path: Path, title: str) -> Iterator[Any]:
    try:
        with drawing(path, title) as (axis,):
            yield axis
    except ImportError as error:
        raise BadInputError(f"pictures need matplotlib: pip install 'ostinato[plot]' ({error})") from error
