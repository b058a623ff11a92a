"""Several policies on one trace: a table with a line for each, and a picture of what they cost each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli.output import print_facts, print_table

if TYPE_CHECKING:
    from batch.simulator import Report

_COLUMNS = ("policy", "mean h", "p50 h", "p99 h", "utilisation", "unfairness", "preemptions", "lost chip-h")


def print_beside(reports: Sequence["Report"]) -> None:
    """Write what was simulated, and a line for each policy. Times are from submission to end."""
    first = reports[0]
    print_facts(
        {
            "trace": f"{first.jobs} jobs of {first.teams} teams in {first.window_days:g} days",
            "machines": f"{first.chips} accelerators",
        }
    )
    rows = [
        (
            report.policy, f"{report.overall.mean_completion_h:.3f}", f"{report.overall.p50_completion_h:.3f}",
            f"{report.overall.p99_completion_h:.2f}", f"{report.utilisation:.3f}",
            "-" if report.unfairness_hourly is None else f"{report.unfairness_hourly:.4f}",
            report.preemptions, f"{report.lost_chip_h:.0f}",
        )
        for report in reports
    ]  # fmt: skip
    print_table(_COLUMNS, rows)


def draw_beside(reports: Sequence["Report"], folder: Path) -> Path:
    """Draw mean completion against unfairness, a point for each policy. Returns the file.

    Raises ImportError if matplotlib is missing, OSError if the folder cannot be written.
    """
    from planner.pictures import INK, SERIES, drawing, name_points

    first, path = reports[0], folder / "policies.svg"
    title = f"{first.jobs:,} jobs of {first.teams} teams in {first.window_days:g} days on {first.chips:,} accelerators"
    with drawing(path, title) as axes:
        axis = axes[0]
        named = []
        for at, report in enumerate(reports):
            x, y = report.overall.mean_completion_h, report.unfairness_hourly or 0.0
            axis.plot(x, y, "*" if at == 0 else "o", markersize=13 if at == 0 else 7, color=SERIES[at == 0])
            named.append((x, y, report.policy.replace("_", " ")))
        axis.set_xlabel("mean hours from submission to end: less is better")
        axis.set_ylabel("unfairness: less is better", color=INK)
        axis.set_xlim(0, 1.15 * max(x for x, _, _ in named))
        axis.set_ylim(0, 1.15 * max(y for _, y, _ in named) or 1.0)
        name_points(axis, named)
    return path
