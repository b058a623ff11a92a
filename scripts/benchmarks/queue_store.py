"""The store's rows of the benchmark `queue`: durable submissions, a large sweep, and opening again with many jobs.

All of it in one process and without HTTP, on the disk that holds temporary files: it must be one that syncs, and not a
file system in memory.
"""

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from batch.events import Event, JobEnded, JobStarted
from batch.job_queue import Queue
from batch.model import JobSpec, Shape, SweepSpec
from scripts.benchmarks.contest import Effort, Figure, Goal

THREADS = (1, 8, 64)
SECONDS = {Effort.QUICK: 1.0, Effort.NORMAL: 3.0, Effort.FULL: 10.0}
MEMBERS = 10_000
SWEEPS = 15
JOBS = 100_000
ENDED = 10_000
_PART = 5_000
_WINDOW = 1_000  # requests under way when nobody waits for each

AT_ONCE = Figure(
    "Store: durable submissions/s, one thread that does not wait", "1/s", Goal(at_least=10_000, of="ours")
)
SWEEP = Figure("Store: a sweep of 10,000 members, durable", "ms", Goal(at_most=25.0, of="ours"))
REOPEN = Figure("Store: open again and replay, 100,000 jobs", "s", Goal(at_most=2.0, of="ours"))


def submissions(threads: int) -> Figure:
    """Return the figure for so many threads, each of which waits for its acknowledgement."""
    return Figure(f"Store: durable submissions/s, {threads} thread{'s' if threads > 1 else ''}", "1/s")


FIGURES: tuple[Figure, ...] = (*map(submissions, THREADS), AT_ONCE, SWEEP, REOPEN)


def store(effort: Effort, apply: Callable[[Event], object] = lambda event: event) -> Mapping[str, float]:
    """Return the value of each of `FIGURES` by name. `apply` is given what is replayed, and is part of that figure."""
    with tempfile.TemporaryDirectory(prefix="ostinato-queue-") as folder:
        path = Path(folder)
        values = {}
        with Queue.open(str(path / "submissions.db")) as queue:
            for threads in THREADS:
                values[submissions(threads).name] = submitted_by(queue, threads, SECONDS[effort])
            values[AT_ONCE.name] = submitted_at_once(queue, SECONDS[effort])
            values[SWEEP.name] = sweep_ms(queue)
        fill(path / "jobs.db")
        return values | {REOPEN.name: reopened_s(path / "jobs.db", apply)}


def job(number: int) -> JobSpec:
    """Return a job as a team might submit it."""
    payload = {"argv": ["python", "train.py", "--lr", "1e-3", "--seed", str(number)], "env": {"STAGE": "2"}}
    return JobSpec(
        kind="command", payload=payload, shape=Shape(2, 8), user="ada", name=f"run-{number}", recipe="clip"
    )


def submitted_by(queue: Queue, threads: int, duration_s: float) -> float:
    """Return submissions per second of threads that each submit one job under a key, wait, and go on."""
    numbers = itertools.count()
    end_s = time.perf_counter() + duration_s

    def client(first: int) -> None:
        while time.perf_counter() < end_s:
            queue.submit([job(number := next(numbers))], key=f"{threads}-{first}-{number}")

    began_s = time.perf_counter()
    clients = [threading.Thread(target=client, args=(first,)) for first in range(threads)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return next(numbers) / (time.perf_counter() - began_s)


def submitted_at_once(queue: Queue, duration_s: float) -> float:
    """Return submissions per second of one thread that has many under way, as an event loop has."""
    began_s = time.perf_counter()
    count = 0
    while time.perf_counter() < began_s + duration_s:
        under_way = [
            queue.submit_soon([job(count + number)], key=f"at once {count + number}")
            for number in range(_WINDOW)
        ]
        for future in under_way:
            future.result()
        count += _WINDOW
    return count / (time.perf_counter() - began_s)


def sweep_ms(queue: Queue) -> float:
    """Return the median milliseconds until a sweep is durable."""
    times_ms = []
    for number in range(SWEEPS):
        spec = SweepSpec(template=job(number), axes=(("seed", tuple(str(seed) for seed in range(MEMBERS))),))
        began_s = time.perf_counter()
        queue.submit_sweep(spec)
        times_ms.append(1e3 * (time.perf_counter() - began_s))
    return statistics.median(times_ms)


def fill(path: Path) -> None:
    """Make a database of jobs, some of which have ended."""
    with Queue.open(str(path)) as queue:
        uids = [
            uid
            for first in range(0, JOBS, _PART)
            for uid in queue.submit(list(map(job, range(first, first + _PART))))
        ]
        placed = [queue.place_soon(uid, "pool", ("node-0", "node-1")) for uid in uids[:ENDED]]
        for future in placed:
            event = future.result()
            queue.record_soon(
                JobStarted(time_s=event.time_s, uid=event.uid, attempt=event.attempt),
                JobEnded(time_s=event.time_s, uid=event.uid, attempt=event.attempt, state="succeeded"),
            )


def reopened_s(path: Path, apply: Callable[[Event], object]) -> float:
    """Return the seconds until a controller that starts again knows all that it has to."""
    began_s = time.perf_counter()
    with Queue.open(str(path)) as queue:
        for event in queue.replay():
            apply(event)
        return time.perf_counter() - began_s


def main() -> None:
    """Print the figures."""
    for name, value in store(Effort.QUICK).items():
        print(f"{name}: {value:,.1f}")


if __name__ == "__main__":
    main()
