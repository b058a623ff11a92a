"""A live journal as a trace, so that what a queue really got can be simulated under other policies."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from batch.events import Event, JobEnded, JobStarted, JobStopped, JobSubmitted, SweepSubmitted
from batch.model import JobSpec
from batch.simulator.readers import OSTINATO_COLUMNS

TraceRow = tuple[int, float, float, int, str]
"""One job: uid, submitted (epoch seconds), run time over all attempts (seconds), chips, team."""


def rows_of(journal: Iterable[Event]) -> Iterator[TraceRow]:
    """Yield a row for each job that ran and ended well or failed, in the order of the ends.

    Jobs that were cancelled are left out: nobody knows how long they would have run. A journal in its order is needed.
    """
    submitted: dict[int, tuple[float, JobSpec]] = {}
    started_s: dict[int, float] = {}
    ran_s: dict[int, float] = {}
    for event in journal:
        match event:
            case JobSubmitted():
                submitted[event.uid] = (event.time_s, event.spec)
            case SweepSubmitted():
                members = range(event.first_uid, event.first_uid + len(event.spec))
                submitted.update((uid, (event.time_s, event.spec.template)) for uid in members)
            case JobStarted():
                started_s[event.uid] = event.time_s
            case JobStopped() | JobEnded() if event.uid in started_s:
                ran_s[event.uid] = ran_s.get(event.uid, 0.0) + event.time_s - started_s.pop(event.uid)
        if isinstance(event, JobEnded) and event.state != "cancelled" and event.uid in ran_s:
            time_s, spec = submitted[event.uid]
            yield event.uid, time_s, ran_s.pop(event.uid), spec.shape.chips, spec.team


def write_trace(rows: Iterable[TraceRow], path: Path) -> int:
    """Write rows as a trace of format `ostinato`. Returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(OSTINATO_COLUMNS)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
