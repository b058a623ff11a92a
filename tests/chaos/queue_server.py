"""Processes that submit, record and report to a queue until they are killed, and note what was acknowledged.

Usage: python queue_server.py DATABASE, then a line `SEED NOTES` on stdin for each process wanted. This process has
imported everything and forks; it answers with the pid, and with `dead` when that process is. What a process was
acknowledged it appends to the file NOTES, a line each: `ready EPOCH`, `job KEY UID`, `sweep KEY UID COUNT`,
`event UID KIND`.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from batch import events as ev
from batch.errors import ConflictError
from batch.job_queue import Queue
from batch.migrations import migrate  # noqa: F401 - so that no short life is spent on importing Alembic
from batch.model import Cause, JobSpec, SweepSpec

THREADS = 4


class Notes:
    """A file of lines, each written at once, so that a kill tears none of them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        """Append a line. What the kernel has survives the process."""
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


def submit(queue: Queue, notes: Notes, name: str, randomness: random.Random) -> list[int]:
    """Submit jobs under a key, and a sweep now and then; returns uids of jobs and members."""
    specs = [JobSpec(kind="command", payload={"argv": ["true"]}, name=name) for _ in range(randomness.randint(1, 3))]
    uids = queue.submit(specs, key=name)
    for index, uid in enumerate(uids):
        notes.say("job", f"{name}/{index}", uid)
    if randomness.random() < 0.1:
        count = randomness.randint(1, 20)
        axes = (("seed", tuple(map(str, range(count)))),)
        sweep = queue.submit_sweep(SweepSpec(template=specs[0], axes=axes, key=name))
        notes.say("sweep", name, sweep, count)
        uids.append(sweep + randomness.randint(1, count))
        if randomness.random() < 0.3:
            queue.cancel(sweep)
            notes.say("event", sweep, "JobEnded")
    return uids


def drive(queue: Queue, notes: Notes, uid: int, randomness: random.Random) -> None:
    """Move a job one step on: place it, start it, report of it, or end it."""
    job = queue.job(uid)
    now_s = time.time()
    steps: dict[str, Callable[[], list[ev.Event]]] = {
        "queued": lambda: [queue.place_soon(uid, "local", ("node",)).result(30)],
        "launching": lambda: queue.record_soon(ev.JobStarted(time_s=now_s, uid=uid, attempt=job.attempt)).result(30),
        "running": lambda: queue.record_soon(*report(uid, job.attempt, now_s, randomness)).result(30),
    }
    if job.state.text in steps:
        for event in steps[job.state.text]():
            notes.say("event", uid, type(event).__name__)


def report(uid: int, attempt: int, now_s: float, randomness: random.Random) -> list[ev.Event]:
    """Return what an agent might say of an attempt that runs."""
    saved = ev.JobCheckpointed(time_s=now_s, uid=uid, attempt=attempt, saved_s=now_s, step=attempt)
    stopped = ev.JobStopped(
        time_s=now_s, uid=uid, attempt=attempt, cause=Cause.INFRASTRUCTURE, then="queued", eligible_s=0.0
    )
    ended = ev.JobEnded(time_s=now_s, uid=uid, attempt=attempt, state="succeeded", exit_code=0)
    return randomness.choice([[saved], [saved, stopped], [ended]])


def work(queue: Queue, notes: Notes, number: int, seed: int) -> None:
    """Submit and drive, for ever."""
    randomness = random.Random(seed * THREADS + number)
    known: list[int] = []
    for turn in range(sys.maxsize):
        known = [*known[-20:], *submit(queue, notes, f"{seed}-{number}-{turn}", randomness)]
        for uid in randomness.choices(known, k=3):
            try:
                drive(queue, notes, uid, randomness)
            except ConflictError:
                continue  # its sweep was cancelled between the look and the deed


def serve(database: str, seed: int, notes: Notes) -> None:
    """Open the queue and let threads work on it."""
    queue = Queue.open(database)
    notes.say("ready", queue.epoch)
    for number in range(1, THREADS):
        threading.Thread(target=work, args=(queue, notes, number, seed), daemon=True).start()
    work(queue, notes, 0, seed)


def main(database: str) -> None:
    """Fork a process for each line of stdin, and wait for its end before the next."""
    for line in sys.stdin:
        seed, notes_path = line.split()
        pid = os.fork()
        if pid == 0:
            serve(database, int(seed), Notes(Path(notes_path)))
        print(pid, flush=True)  # noqa: T201 - this is how the test hears of it
        os.waitpid(pid, 0)
        print("dead", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
