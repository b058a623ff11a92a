"""Parts of the benchmark `queue` that run in one process: decisions, a sweep in the store, recorded traces."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batch.job_queue import Queue
from scripts.benchmarks import queue_scheduler, queue_simulation, queue_store
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal

LONG, LONGEST = 100_000, 1_000_000
_ONCE = {Effort.QUICK: 1, Effort.NORMAL: 1, Effort.FULL: 3}
_EVENTS = {Effort.QUICK: 500, Effort.NORMAL: 1_000, Effort.FULL: 2_000}

_AT_LONG = {
    "decide p50": Figure("Event to decision, 100,000 pending, p50", "ms", Goal(at_most=2.0, of="ours")),
    "decide p99": Figure("Event to decision, 100,000 pending, p99", "ms", Goal(at_most=20.0, of="ours")),
    "placements/s": Figure("Placements/s, 100,000 pending", "1/s", Goal(at_least=1000.0, of="ours")),
    "why p50": Figure("Why, 100,000 pending, p50", "ms"),
    "why p99": Figure("Why, 100,000 pending, p99", "ms", Goal(at_most=5.0, of="ours")),
    "why sooner p99": Figure("Why, before the last event is decided on, p99", "ms"),
}
_AT_LONGEST = {
    "decide p99": Figure("Event to decision, 1,000,000 pending, p99", "ms", Goal(at_most=100.0, of="ours")),
}
_SYNC = Figure("Disk: append 4 KiB and fdatasync, p50", "ms")
_SYNCS = 200


@contextmanager
def _decisions(effort: Effort) -> Iterator[Contest]:
    def ours() -> Mapping[str, float]:
        found = _measured(LONG, effort, _AT_LONG)
        return found if effort is Effort.QUICK else {**found, **_measured(LONGEST, effort, _AT_LONGEST)}

    quick = {figure.name: "takes a minute: not with --quick" for figure in _AT_LONGEST.values()}
    yield Contest(ours=ours, left_out=quick if effort is Effort.QUICK else {})


def _measured(pending: int, effort: Effort, figures: Mapping[str, Figure]) -> dict[str, float]:
    found = queue_scheduler.measure(pending, events_measured=_EVENTS[effort])
    return {figure.name: found[key] for key, figure in figures.items()}


@contextmanager
def _sweeps(effort: Effort) -> Iterator[Contest]:
    del effort

    def ours() -> Mapping[str, float]:
        with tempfile.TemporaryDirectory(prefix="ostinato-queue-") as folder, Queue.open(f"{folder}/queue.db") as queue:
            return {queue_store.SWEEP.name: queue_store.sweep_ms(queue), _SYNC.name: _sync_ms(f"{folder}/synced")}

    yield Contest(ours=ours)


def _sync_ms(path: str) -> float:
    """Return what an acknowledgement costs at least on this disk."""
    times_ms = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(_SYNCS):
            began_s = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            times_ms.append(1e3 * (time.perf_counter() - began_s))
    finally:
        os.close(descriptor)
    return statistics.median(times_ms)


@contextmanager
def _philly(effort: Effort) -> Iterator[Contest]:
    reason = "takes minutes: not with --quick" if effort is Effort.QUICK else ""
    try:
        queue_simulation.philly_trace()
    except FileNotFoundError as error:
        reason = str(error)
    left_out = dict.fromkeys([figure.name for figure in queue_simulation.FIGURES], reason) if reason else {}
    yield Contest(ours=lambda: queue_simulation.philly(effort), left_out=left_out)


DECISIONS = Bench(
    figures=(*_AT_LONG.values(), *_AT_LONGEST.values()), contest=_decisions, rounds=_ONCE, warmup_rounds=0
)
IN_THE_STORE = Bench(figures=(_SYNC, queue_store.SWEEP), contest=_sweeps, warmup_rounds=0)
PHILLY = Bench(
    figures=queue_simulation.FIGURES,
    contest=_philly,
    warmup_rounds=0,
    rounds=dict.fromkeys(Effort, 1),  # but for its duration, a simulation is the same each time
)
