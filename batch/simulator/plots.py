"""Pictures of a simulation. Needs matplotlib (the extra `plot`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batch.scheduler.arrays import Floats
from batch.simulator.measures import by_hour, entitled_chips
from batch.simulator.outcome import HOUR_S, Outcome

_SIZE_INCHES = (10.0, 4.0)
_MOST_TEAMS = 6


def draw(outcome: Outcome, folder: Path) -> list[Path]:
    """Draw queue length, shares against entitlement, and utilisation into `folder`. Returns the files.

    Raises ImportError if matplotlib is missing, OSError if the folder cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency that only this function needs

    folder.mkdir(parents=True, exist_ok=True)
    used_h = by_hour(outcome.spans, outcome.spans.used_chip_s) / HOUR_S
    entitled = entitled_chips(outcome.spans, outcome.chips) * outcome.spans.length_s[:, None]
    entitled_h = by_hour(outcome.spans, entitled) / HOUR_S
    out = []
    for name, rows in (("queue", 1), ("shares", min(_MOST_TEAMS, used_h.shape[1])), ("utilisation", 1)):
        figure = Figure(figsize=(_SIZE_INCHES[0], _SIZE_INCHES[1] if rows == 1 else 1.6 * rows), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        if name == "queue":
            _queue(axes[0], outcome)
        elif name == "shares":
            _shares(axes.tolist(), outcome, used_h, entitled_h)
        else:
            _utilisation(axes[0], outcome, used_h)
        axes[0].set_title(f"{outcome.policy}, {len(outcome.trace)} jobs, {outcome.chips} chips: {name}", loc="left")
        axes[-1].set_xlabel("days since the window began")
        path = folder / f"{outcome.policy}-{name}.png"
        figure.savefig(path, dpi=120)
        out.append(path)
    return out


def _queue(axis: Any, outcome: Outcome) -> None:
    axis.step(outcome.spans.start_s / 86400.0, outcome.spans.waiting, where="post", linewidth=0.8)
    axis.set_ylabel("jobs waiting")
    axis.set_ylim(bottom=0)


def _shares(axes: Sequence[Any], outcome: Outcome, used_h: Floats, entitled_h: Floats) -> None:
    """Draw the teams that were entitled to most: what they got over what they were due, chips by hour."""
    days = _days(outcome, len(used_h))
    for axis, team in zip(axes, np.argsort(-entitled_h.sum(axis=0)), strict=False):
        axis.fill_between(days, entitled_h[:, team], step="post", alpha=0.3, label="entitled")
        axis.step(days, used_h[:, team], where="post", linewidth=0.8, label="used")
        axis.set_ylabel(outcome.trace.teams[team])
    axes[0].legend(loc="upper right")


def _utilisation(axis: Any, outcome: Outcome, used_h: Floats) -> None:
    axis.step(_days(outcome, len(used_h)), used_h.sum(axis=1) / outcome.chips, where="post", linewidth=0.8)
    axis.axvline(outcome.trace.window_s / 86400.0, linestyle=":", color="grey")
    axis.set_ylabel("part of the chips in use")
    axis.set_ylim(0, 1.05)


def _days(outcome: Outcome, hours: int) -> Floats:
    """Return when each hour began, in days."""
    first = np.searchsorted(outcome.spans.hour, np.arange(hours))
    return np.asarray(outcome.spans.start_s[first] / 86400.0)
