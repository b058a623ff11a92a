"""What a command that computes for long shows meanwhile, on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scripts.cli.output import console

Tell = Callable[[int, int], None]
"""How much is done, of how much."""


@contextmanager
def waiting(for_what: str, *, is_long: bool) -> Iterator[Tell]:
    """Yield what is told how far it is: a bar that vanishes, on a terminal; elsewhere one line. Silent unless long."""
    if not (is_long and console(stderr=True).is_terminal):
        if is_long:
            sys.stderr.write(f"{for_what}: this can take a minute\n")
        yield _unheard
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn("line"), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(for_what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _unheard(done: int, of: int) -> None:
    del done, of
