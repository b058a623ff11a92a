"""SIGKILL of the process that owns the queue, at random moments: no acknowledgement is lost and no uid drawn twice."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from fixtures_queue import assert_rows_are_the_fold, journal_of

from batch import events as ev
from batch.job_queue import Queue
from tests.fixtures_fake_controller import wait_until

_SERVER = Path(__file__).with_name("queue_server.py")
_ROOT = Path(__file__).parents[2]
KINDS = frozenset({"ready", "job", "sweep", "event"})
KILLS_PER_DATABASE = 26
LONGEST_LIFE_S = 0.4
LIVES_TO_WORK = 0.7
"""The part of the processes that are killed some time after they have opened the queue; the others while they do, or
whenever it is."""


def kill_many(folder: Path, kills: int, randomness: random.Random) -> list[str]:
    """Let processes live for random times, some too short to open the queue; returns what they noted."""
    database, notes = folder / "queue.db", folder / "notes"
    notes.touch()
    server = subprocess.Popen(
        [sys.executable, str(_SERVER), str(database)],
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    epochs = 0
    try:
        for number in range(kills):
            print(randomness.randrange(10**9), notes, file=server.stdin, flush=True)
            pid = int(server.stdout.readline())
            if randomness.random() < LIVES_TO_WORK:
                epochs += 1
                wait_until_ready(notes, epochs)
            time.sleep(randomness.random() * LONGEST_LIFE_S)
            if number == kills - 1:
                wait_until_each_kind(notes)
            epochs = num_ready(notes)
            os.kill(pid, signal.SIGKILL)
            assert server.stdout.readline() == "dead\n"
    finally:
        server.stdin.close()
        server.wait(10)
    return notes.read_text().splitlines()


def num_ready(notes: Path) -> int:
    return sum(line.startswith("ready ") for line in notes.read_text().splitlines())


def wait_until_ready(notes: Path, epochs: int) -> None:
    wait_until(lambda: num_ready(notes) >= epochs, "the queue to be opened")


def wait_until_each_kind(notes: Path) -> None:
    """Wait until there is something of each kind, which on a busy machine takes longer than all those lives."""
    wait_until(lambda: {line.partition(" ")[0] for line in notes.read_text().splitlines()} >= KINDS, f"{KINDS}")


def check(database: Path, notes: list[str]) -> Counter[str]:
    """Check the queue against what was acknowledged; returns how much of each kind that was."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    said = [line.split() for line in notes]
    with Queue.open(str(database)) as queue:
        model = assert_rows_are_the_fold(queue)
        journal = journal_of(queue)
    owners: dict[int, str] = {}
    for kind, *words in said:
        if kind == "job":
            name, uid = words[0], int(words[1])
            assert model.jobs[uid]["spec"].name == name.partition("/")[0]
            assert owners.setdefault(uid, name) == name, "a uid was drawn twice"
        if kind == "sweep":
            assert len(model.members[int(words[1])]) == int(words[2])
    recorded = Counter((event.uid, type(event).__name__) for event in journal if isinstance(event, ev.JobEvent))
    acknowledged = Counter((int(words[0]), words[1]) for kind, *words in said if kind == "event")
    assert acknowledged <= recorded
    submitted = [event.uid for event in journal if isinstance(event, ev.JobSubmitted | ev.SweepSubmitted)]
    assert len(set(submitted)) == len(submitted)
    epochs = [int(words[0]) for kind, *words in said if kind == "ready"]
    assert epochs == sorted(set(epochs))
    return Counter(kind for kind, *_ in said)


def attack(folder: Path, databases: int) -> None:
    randomness = random.Random(databases)
    total: Counter[str] = Counter()
    for number in range(databases):
        place = folder / str(number)
        place.mkdir()
        notes = kill_many(place, KILLS_PER_DATABASE, randomness)
        total += check(place / "queue.db", notes)
    assert min(total[kind] for kind in KINDS) >= databases, total


def test_the_queue_is_killed_fifty_times(tmp_path: Path) -> None:
    attack(tmp_path, databases=2)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_queue_is_killed_a_thousand_times(tmp_path: Path) -> None:
    attack(tmp_path, databases=39)
