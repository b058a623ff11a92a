"""What `train` shows while it runs: a progress bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scripts.cli.event_text import event_text, step_text
from scripts.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Observe = Callable[[Mapping[str, Any]], None]
_LINE_EVERY_S = 5.0
_QUIET_ON_TERMINALS = {"worker_started", "checkpoint_committed"}


@contextmanager
def progress(run: str, steps: int, *, to_stderr: bool) -> Iterator[Observe]:
    """Yield the observer of a run's events. Called in the main thread; events come from one thread."""
    out = console(stderr=to_stderr)
    if not out.is_terminal:
        yield PlainLines(steps, lambda line: out.print(line, soft_wrap=True))
        return
    bar = _bar(out)
    with bar:
        yield TerminalBar(bar, bar.add_task(run, total=steps, loss="-", speed="-", saved="-"))


class PlainLines:
    """Prints every event that a person wants to know, and a step now and then: the first, the last, one each 5 s."""

    def __init__(self, steps: int, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._write = write
        self._clock = clock
        self._next_s = 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        if event.get("event") == "step":
            is_last = event["step"] >= self._steps
            if is_last or self._clock() >= self._next_s:
                self._next_s = self._clock() + _LINE_EVERY_S
                self._write(step_text(event, self._steps))
        else:
            text = event_text(event)
            if text is not None:
                self._write(text)


class TerminalBar:
    """One line that is rewritten: step, loss, samples/s, time left, last checkpoint; other events stay above it."""

    def __init__(self, bar: "Progress", task: "TaskID") -> None:
        self._bar = bar
        self._task = task

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        name = event.get("event")
        if name == "step":
            loss, speed = event.get("loss"), event.get("samples_per_s")
            self._bar.update(
                self._task,
                completed=event["step"],
                loss="-" if loss is None else f"{loss:.4f}",
                speed="-" if speed is None else f"{speed:.0f}",
            )
        elif name == "checkpoint_committed":
            self._bar.update(self._task, saved=str(event.get("step")))
        text = event_text(event)
        if text is not None and name not in _QUIET_ON_TERMINALS:
            self._bar.console.print(text)


def _bar(out: "Console") -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[speed]} samples/s"),
        TimeRemainingColumn(),
        TextColumn("saved {task.fields[saved]}"),
        console=out,
    )
