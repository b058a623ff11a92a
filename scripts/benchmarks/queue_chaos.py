"""The chaos of the benchmark `queue`: kill -9 of controller and agent at random moments while jobs come in and run."""

import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from batch.client import Client
from batch.errors import ControllerUnreachable
from batch.events import Event, JobEnded, JobSubmitted
from batch.job_queue import Queue
from batch.state_folder import Address, StateFolder, read_token
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from scripts.embedded import agent_pid, start_controller, stop_controller

KILLS = {Effort.QUICK: 50, Effort.NORMAL: 100, Effort.FULL: 1_000}
_LONGEST_LIFE_S = 0.6
_RUNNABLE = 0.05
"""The part of the submissions that may run; the others stay held."""
_MOST_PAUSE_S = 0.02
_DRAIN_TIMEOUT_S = 300.0
_PAGE = 10_000
_OVER = frozenset({"succeeded", "failed", "cancelled"})
# `mkdir` fails when another attempt is at work, and `began` counts how often it was started.
_SCRIPT = "mkdir busy || exit 99; echo $$ >> began; sleep 0.05; rmdir busy"

_KILLS = Figure("Chaos: processes killed", "kills", Goal(at_least=50.0, of="ours"))
_ACKED = Figure("Chaos: jobs acknowledged", "jobs")
_BACK = Figure("Chaos: killed controller, start to first answer, p50", "s", Goal(at_most=2.0, of="ours"))


def _never(what: str) -> Figure:
    return Figure(f"Chaos: {what}", "jobs", Goal(at_most=0.0, of="ours"), may_be_zero=True)


_LOST = _never("acknowledged and lost")
_TWICE_MADE = _never("ids drawn, or jobs made, twice")
_TWICE_OVER = _never("outcomes recorded, or programs run, twice")
_UNFINISHED = _never("did not succeed")
FIGURES = (_KILLS, _ACKED, _BACK, _LOST, _TWICE_MADE, _TWICE_OVER, _UNFINISHED)


@dataclass
class Submitter:
    """Submits until told to stop, again under the same key when nobody answered, and notes what was acknowledged."""

    home: StateFolder
    seed: int
    acked: dict[str, int] = field(default_factory=dict)
    runnable: set[int] = field(default_factory=set)
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Make the thread."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the submission that is under way. Raises what the thread died of."""
        self._stop.set()
        self._thread.join(60.0)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        randomness = random.Random(self.seed)
        number = 0
        try:
            while not self._stop.is_set():
                self._submit(f"chaos-{number}", held=randomness.random() >= _RUNNABLE)
                number += 1
                time.sleep(randomness.random() * _MOST_PAUSE_S)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever calls `stop`
            self.failure = error

    def _submit(self, key: str, *, held: bool) -> None:
        job = {"kind": "command", "payload": {"command": ["sh", "-c", _SCRIPT]}, "name": key, "held": held}
        while True:
            with suppress(ControllerUnreachable), _client(self.home) as client:
                [made] = client.submit([job], key=key)
                break
            time.sleep(0.02)
        self.acked[key] = made["uid"]
        if not held:
            self.runnable.add(made["uid"])


@contextmanager
def _contest(effort: Effort) -> Iterator[Contest]:
    home = StateFolder(Path(tempfile.mkdtemp(prefix="ostinato-chaos-")))
    try:
        yield Contest(ours=lambda: attack(home, KILLS[effort], seed=1))
    finally:
        stop_controller(home)
        shutil.rmtree(home.path, ignore_errors=True)


def attack(home: StateFolder, kills: int, seed: int) -> Mapping[str, float]:
    """Kill so many processes, let what was submitted end, and count what went wrong."""
    randomness = random.Random(seed)
    start_controller(home)
    submitter = Submitter(home, seed)
    submitter.start()
    killed = 0
    back_s = []
    while killed < kills:
        time.sleep(randomness.random() * _LONGEST_LIFE_S)
        victims = _victims(home, randomness)
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        killed += len(victims)
        began_s = time.perf_counter()
        start_controller(home)
        if "controller" in victims:
            back_s.append(time.perf_counter() - began_s)
    submitter.stop()
    _drain(home, submitter.runnable)
    stop_controller(home)
    return {
        _KILLS.name: float(killed),
        _ACKED.name: float(len(submitter.acked)),
        _BACK.name: statistics.median(back_s),
        **_counted(home, submitter),
    }


def _victims(home: StateFolder, randomness: random.Random) -> dict[str, int]:
    record = home.record()
    found = {"controller": record.pid if record else None, "agent": agent_pid(home)}
    wanted = randomness.choices((("controller",), ("agent",), ("controller", "agent")), (6, 3, 1))[0]
    return {name: pid for name in wanted if (pid := found[name]) is not None}


def _drain(home: StateFolder, uids: set[int]) -> None:
    """Wait until all of `uids` are over; what is not in time is counted as it is."""
    deadline_s = time.monotonic() + _DRAIN_TIMEOUT_S
    with _client(home) as client:
        while time.monotonic() < deadline_s:
            over = {job["uid"] for job in client.find(state=sorted(_OVER), limit=_PAGE)["jobs"]}
            if uids <= over:
                return
            time.sleep(0.5)


def _counted(home: StateFolder, submitter: Submitter) -> dict[str, float]:
    """Compare the journal, and what the programs left, with what was acknowledged."""
    events = list(_journal(home))
    made = Counter(event.uid for event in events if isinstance(event, JobSubmitted))
    names = Counter(event.spec.name for event in events if isinstance(event, JobSubmitted))
    ends = Counter(event.uid for event in events if isinstance(event, JobEnded))
    succeeded = {event.uid for event in events if isinstance(event, JobEnded) and event.state == "succeeded"}
    acked = Counter(submitter.acked.values())
    twice_run = [uid for uid in submitter.runnable if _times_begun(home, uid) > 1]
    return {
        _LOST.name: float(len(acked.keys() - made.keys())),
        _TWICE_MADE.name: float(sum(times > 1 for counts in (made, names, acked) for times in counts.values())),
        _TWICE_OVER.name: float(sum(times > 1 for times in ends.values()) + len(twice_run)),
        _UNFINISHED.name: float(len(submitter.runnable - succeeded)),
    }


def _journal(home: StateFolder) -> Iterator[Event]:
    with Queue.open(str(home.database)) as queue:
        after = 0
        while page := queue.events(after, _PAGE):
            yield from (event for _, event in page)
            after = page[-1][0]


def _times_begun(home: StateFolder, uid: int) -> int:
    begun = home.path / f"agent/jobs/{uid}/run/began"
    return len(begun.read_text().splitlines()) if begun.exists() else 0


def _client(home: StateFolder) -> Client:
    record = home.record()
    if record is None:
        raise ControllerUnreachable("nobody serves yet")
    own = read_token(home.token_path)
    # Between a kill and the next start, another program may answer at the old port.
    return Client(Address(record.url, own, known_token=own))


CHAOS = Bench(figures=FIGURES, contest=_contest, warmup_rounds=0, rounds=dict.fromkeys(Effort, 1))
