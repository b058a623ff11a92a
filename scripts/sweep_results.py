"""What a sweep has found: its members beside one another, best first, and a plot of one metric over the axes."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOWER_IS_BETTER = ("loss", "error", "perplexity", "nats", "seconds", "_s")


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its choices by key of the axis, how it stands, and the metrics that it ended with."""

    id: str
    choices: Mapping[str, str]
    state: str
    step: int | None
    metrics: Mapping[str, float]

    def value(self, metric: str) -> float:
        """Return the metric, or NaN when there is none yet."""
        return self.metrics.get(metric, math.nan)


def members_of(jobs: Iterable[Mapping[str, Any]]) -> list[Member]:
    """Return members from jobs as the controller shows them."""
    return [
        Member(
            id=job["id"],
            choices=dict(word.split("=", 1) for word in job["overrides"]),
            state=job["state"],
            step=job["step"],
            metrics=dict(job["metrics"]),
        )
        for job in jobs
    ]


def choose_metric(members: Sequence[Member], wanted: str | None) -> str | None:
    """Return the metric to order by: `wanted`, or the first by name that any member has; None when none has any.

    Raises KeyError, with the names that there are, when nobody has `wanted`.
    """
    names = sorted({name for member in members for name in member.metrics})
    if wanted is None:
        return names[0] if names else None
    if names and wanted not in names:
        raise KeyError(names)
    return wanted


def lower_is_better(metric: str) -> bool:
    """Return whether a metric's name says that less of it is better, as `loss` does."""
    last = metric.rpartition("/")[2]
    return any(last == word or last.endswith(word) for word in _LOWER_IS_BETTER)


def best_first(members: Sequence[Member], metric: str | None) -> list[Member]:
    """Return the members ordered by `metric`; those without a value come last, in their own order."""
    if metric is None:
        return list(members)
    sign = 1 if lower_is_better(metric) else -1

    def key(member: Member) -> float:
        value = member.value(metric)
        return math.inf if math.isnan(value) else sign * value

    return sorted(members, key=key)


def plot(members: Sequence[Member], metric: str, path: Path) -> None:
    """Draw `metric` over the axis with most values, one line for each choice of the other axes, into `path`.

    Several members with equal choices but for the seed are shown as their mean, with the range as a band. Needs
    matplotlib (the extra `plot`).
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - only this command draws

    axis, others = _axes_to_draw(members)
    lines: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for member in members:
        if not math.isnan(member.value(metric)):
            line = tuple(f"{key}={member.choices[key]}" for key in others)
            lines[line][member.choices[axis]].append(member.value(metric))
    figure = Figure(figsize=(7, 4), layout="constrained")
    drawing = figure.subplots()
    positions, labels = _positions({member.choices[axis]: None for member in members})
    for line, points in sorted(lines.items()):
        chosen = sorted(points, key=positions.__getitem__)
        xs = [positions[choice] for choice in chosen]
        means = [sum(points[choice]) / len(points[choice]) for choice in chosen]
        (drawn,) = drawing.plot(xs, means, marker="o", label=" ".join(line) or None)
        lows, highs = [min(points[choice]) for choice in chosen], [max(points[choice]) for choice in chosen]
        drawing.fill_between(xs, lows, highs, alpha=0.15, color=drawn.get_color())
    if labels:
        drawing.set_xticks(list(positions.values()), labels)
    elif min(positions.values()) > 0 and max(positions.values()) >= 20 * min(positions.values()):
        drawing.set_xscale("log")
    drawing.set(xlabel=axis, ylabel=metric)
    drawing.grid(visible=True, alpha=0.3)
    if others and len(lines) > 1:
        drawing.legend(fontsize="small")
    figure.savefig(path, dpi=150)


def _axes_to_draw(members: Sequence[Member]) -> tuple[str, list[str]]:
    """Return the axis along the bottom, and those that make a line each; seeds do neither if there is another axis."""
    values = {key: {member.choices[key] for member in members} for key in members[0].choices}
    shown = [key for key in values if key.rpartition(".")[2] != "seed"] or list(values)
    axis = max(shown, key=lambda key: len(values[key]))
    return axis, [key for key in shown if key != axis]


def _positions(choices: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """Return where each choice lies: numbers at their value, anything else side by side with labels."""
    choices = list(choices)
    try:
        return {choice: float(choice) for choice in choices}, []
    except ValueError:
        return {choice: float(index) for index, choice in enumerate(choices)}, choices
