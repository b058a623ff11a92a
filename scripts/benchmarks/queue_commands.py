"""The rows of the benchmark `queue` on what people and jobs wait for: commands, trivial jobs, a burst, a restart."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from batch.client import Client
from batch.state_folder import StateFolder
from scripts.benchmarks import queue_store
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from scripts.benchmarks.queue_controller import Live, live_controller
from scripts.embedded import start_controller, stop_controller
from scripts.origin import REPOSITORY

JOBS = 1_000
CALLS = 7
BURST = 500
_TRIVIAL = {"kind": "command", "payload": {"command": ["true"]}}
_TRIVIALS = {Effort.QUICK: 20, Effort.NORMAL: 50, Effort.FULL: 200}
_POLL_S = 0.05  # seldom: who asks takes time from what is measured
_BURST_POLL_S = 0.5
_TIMEOUT_S = 180.0
_OVER = frozenset({"succeeded", "failed", "cancelled"})

_LS = Figure("ostinato ls, wall, 1,000 jobs", "ms", Goal(at_most=120.0, of="ours"))
_WHY = Figure("ostinato why, wall, 1,000 jobs", "ms", Goal(at_most=120.0, of="ours"))
_SUBMIT = Figure("ostinato submit -- true, wall, 1,000 jobs", "ms", Goal(at_most=700.0, of="ours"))
_OVERHEAD = Figure("Trivial command job, submitted to succeeded, p50", "ms", Goal(at_most=50.0, of="ours"))
_BURST_S = Figure("Burst of 500 command jobs, until all are over", "s")
_FAILURES = Figure("Burst of 500 command jobs, failures", "jobs", Goal(at_most=0, of="ours"), may_be_zero=True)
_BACK = Figure("Controller killed at 100,000 jobs, start to first answer", "s", Goal(at_most=2.0, of="ours"))


@contextmanager
def _commands(effort: Effort) -> Iterator[Contest]:
    del effort
    with live_controller(with_agent=False) as live, tempfile.TemporaryDirectory(prefix="ostinato-work-") as folder:
        Path(folder, "train.py").write_text("print('trained')\n")
        first = live.client().submit([_TRIVIAL] * JOBS)[0]["id"]

        def ours() -> Mapping[str, float]:
            return {
                _LS.name: _wall_ms(live, folder, "ls"),
                _WHY.name: _wall_ms(live, folder, "why", first),
                _SUBMIT.name: _wall_ms(live, folder, "submit", "--", "true"),
            }

        yield Contest(ours=ours)


def _wall_ms(live: Live, folder: str, *words: str) -> float:
    environment = {**live.environment, "PYTHONPATH": str(REPOSITORY)}
    times_ms = []
    for _ in range(CALLS):
        began_s = time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-m", "scripts.cli", *words],
            cwd=folder,
            env=environment,
            capture_output=True,  # without pipes, waiting with a time-out looks every 50 ms only
            check=True,
            timeout=_TIMEOUT_S,
        )
        times_ms.append(1e3 * (time.perf_counter() - began_s))
    return statistics.median(times_ms)


@contextmanager
def _agent(effort: Effort) -> Iterator[Contest]:
    with live_controller(with_agent=True) as live:
        client = live.client()
        _one_ms(client)  # the agent has started once this job is over

        def ours() -> Mapping[str, float]:
            alone_ms = statistics.median(_one_ms(client) for _ in range(_TRIVIALS[effort]))
            began_s = time.perf_counter()
            failures = _failures(client, client.submit([_TRIVIAL] * BURST))
            return {
                _OVERHEAD.name: alone_ms,
                _BURST_S.name: time.perf_counter() - began_s,
                _FAILURES.name: float(failures),
            }

        yield Contest(ours=ours)


def _one_ms(client: Client) -> float:
    """Return the milliseconds between the two events of the journal: submitted, and succeeded."""
    [job] = client.submit([_TRIVIAL])
    deadline_s = time.monotonic() + _TIMEOUT_S
    while (found := client.job(job["id"]))["state"] not in _OVER:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"job {job['id']} is not over after {_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
    return 1e3 * float(found["ended_s"] - found["submitted_s"])


def _failures(client: Client, jobs: Sequence[Mapping[str, object]]) -> int:
    """Wait for jobs; return how many of them did not succeed in their first attempt, or were not over in time."""
    wanted = {job["uid"] for job in jobs}
    deadline_s = time.monotonic() + _TIMEOUT_S
    while True:
        found = [job for job in client.find(state=sorted(_OVER), limit=2 * BURST)["jobs"] if job["uid"] in wanted]
        if len(found) == len(wanted) or time.monotonic() > deadline_s:
            return len(wanted) - len([job for job in found if job["state"] == "succeeded" and job["attempt"] == 1])
        time.sleep(_BURST_POLL_S)


@contextmanager
def _restart(effort: Effort) -> Iterator[Contest]:
    del effort
    with tempfile.TemporaryDirectory(prefix="ostinato-queue-") as name:
        home = StateFolder(Path(name))
        queue_store.fill(home.database)

        def ours() -> Mapping[str, float]:
            began_s = time.perf_counter()
            record = start_controller(home, with_agent=False)
            back_s = time.perf_counter() - began_s
            os.kill(record.pid, signal.SIGKILL)
            os.waitpid(record.pid, 0)
            return {_BACK.name: back_s}

        try:
            yield Contest(ours=ours)
        finally:
            stop_controller(home)


COMMANDS = Bench(figures=(_LS, _WHY, _SUBMIT), contest=_commands, warmup_rounds=0)
AGENT = Bench(
    figures=(_OVERHEAD, _BURST_S, _FAILURES),
    contest=_agent,
    warmup_rounds=0,
    rounds={Effort.QUICK: 1, Effort.NORMAL: 3, Effort.FULL: 5},
)
RESTART = Bench(figures=(_BACK,), contest=_restart, warmup_rounds=0)
