"""`--column` of the commands that read a table of runs."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from scripts.cli.cli_errors import CommandError

ColumnOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="a column by another name: params=N (repeatable)")
]


def columns_of(words: Sequence[str] | None) -> dict[str, str]:
    """Return our names to the file's. Raises CommandError for words that are no pair, or a name given twice."""
    given = list(words or ())
    pairs = dict(word.split("=", 1) for word in given if "=" in word)
    if len(pairs) != len(given):
        raise CommandError(f"--column {' '.join(given)}: each must be OURS=THEIRS, and each once, such as params=N")
    return pairs
