"""How results are shown: tables for people, JSON for programs, no colour unless a terminal shows it."""

import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import category

import typer

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 1000
_FIGURE = re.compile(r"\d[\d.,:e+-]*(?: |$)")


class OutputFormat(StrEnum):
    """What `-o` takes."""

    TEXT = "text"
    JSON = "json"


class ListFormat(StrEnum):
    """What `-o` takes where a list has more columns to show."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"


ListOption = Annotated[ListFormat, typer.Option("--output", "-o", help="text and wide for people, json for programs")]
JsonOption = Annotated[bool, typer.Option("--json", help="the same as -o json")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="text for people, json for programs")]


def console(*, stderr: bool = False) -> "Console":
    """Return a Rich console that colours only terminals, honours NO_COLOR, and does not wrap what is piped."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE, highlight=False, emoji=False, markup=False)


def print_json(value: Any) -> None:
    """Write one JSON value to stdout. NaN and infinity, which JSON has not, become null."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str) + "\n")


def say(text: str) -> None:
    """Write a line to stdout."""
    sys.stdout.write(visible(text) + "\n")


def visible(text: str) -> str:
    """Return the text with control characters written out: what others called their jobs commands no terminal."""
    if text.isprintable():
        return text
    return "".join(each if each in "\n\t" or category(each)[0] != "C" else f"{each!a}"[1:-1] for each in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table: columns of figures to the right, nothing cut off."""
    cells = [[_cell(value) for value in row] for row in rows]
    figures = [bool(cells) and all(_is_figure(row[at]) for row in cells) for at in range(len(columns))]
    widths = [max(len(row[at]) for row in (columns, *cells)) for at in range(len(columns))]
    is_plain = all(cell.isascii() and cell.isprintable() for row in cells for cell in row)
    if not is_plain or (sys.stdout.isatty() and sum(widths) + 3 * len(widths) > get_terminal_size().columns):
        _print_folded(columns, cells, figures)
        return
    for line in (list(columns), ["-" * width for width in widths], *cells):
        pairs = zip(line, widths, figures, strict=True)
        say("   ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in pairs).rstrip())


def _print_folded(columns: Sequence[str], cells: Sequence[Sequence[str]], figures: Sequence[bool]) -> None:
    """Leave to Rich what it does better: cells that must be folded, and letters of other widths. It costs 60 ms."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, is_figure in zip(columns, figures, strict=True):
        table.add_column(column, justify="right" if is_figure else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    console().print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Write names and values below each other."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        say(f"{name:<{width}}  {_cell(value)}")


def format_bytes(size_bytes: float) -> str:
    """Return a size as people write it: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def format_duration(seconds: float) -> str:
    """Return a duration as people write it: `45 s`, `3:07`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(count: int, noun: str) -> str:
    """Return `1 worker`, `2 workers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_age(then_s: float | None, now_s: float | None = None) -> str:
    """Return how long ago an epoch second was."""
    if then_s is None:
        return "-"
    return f"{format_duration(max(0.0, (time.time() if now_s is None else now_s) - then_s))} ago"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return visible(str(value))


def _is_figure(cell: str) -> bool:
    """`12`, `1.5 MiB`, `1:02:03` and `-` are; `3gm8sce`, which is an id, is not."""
    return cell == "-" or _FIGURE.match(cell) is not None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
