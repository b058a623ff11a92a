"""What a benchmark leaves: a table to read and a JSON document to keep."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.harness import Result, Spread

PIPED_WIDTH = 140
"""Columns where there is no terminal: enough that no cell is folded."""


def document(
    name: str,
    date: datetime,
    machine: Mapping[str, str | int | float],
    versions: Mapping[str, str | None],
    results: Sequence[Result],
) -> dict[str, Any]:
    """Return the JSON document of one benchmark: medians, and the median ratio ours / peer."""
    return {
        "bench": name,
        "date": date.isoformat(timespec="seconds"),
        "machine": dict(machine),
        "versions": dict(versions),
        "rows": [_row(result) for result in results],
    }


def _row(result: Result) -> dict[str, Any]:
    figure = result.figure
    return {
        "figure": figure.name,
        "unit": figure.unit,
        "ours": result.ours.median if result.ours else None,
        "peer": result.peer.median if result.peer else None,
        "peer_name": result.peer_name,
        "ratio": result.ratio.median if result.ratio else None,
        "goal": figure.goal.text(figure.unit) if figure.goal else None,
        "met": result.met(),
        "note": result.note,
    }


def print_table(document: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Print the results as a table, with the spread over the rounds, and where they were measured."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    table = Table(box=SIMPLE_HEAD, title=f"{document['bench']}: median ± interquartile range", title_justify="left")
    table.add_column("figure")
    for column in ("unit", "ours", "peer", "ratio", "goal", "met"):
        table.add_column(column, justify="right")
    table.add_column("peer's name")
    for row, result in zip(document["rows"], results, strict=True):
        table.add_row(
            row["figure"], row["unit"], _cell(result.ours), _cell(result.peer), _cell(result.ratio),
            row["goal"] or "-", {True: "yes", False: "no", None: "-"}[row["met"]], row["peer_name"] or "-",
        )  # fmt: skip
    console.print(table)
    for note in dict.fromkeys(result.note for result in results if result.note):
        missing = [result.figure.name for result in results if result.note == note and result.ours is None]
        console.print(f"not measured ({'; '.join(missing)}): {note}" if missing else f"without a peer: {note}")
    machine = document["machine"]
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"load {machine['load_1min']}, {machine['system']}"
    )
    console.print(", ".join(f"{name} {version or 'not installed'}" for name, version in document["versions"].items()))


def _cell(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.4g} ± {spread.iqr:.2g}"
