"""The rows of the benchmark `queue` on submissions: through HTTP, held, durable when answered; beside Slurm's sbatch.

Slurm's acknowledgement says that the job is in the memory of its controller; it is on disk up to five seconds later.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count

from batch.client import Client
from scripts.benchmarks.contest import Bench, Contest, Contestant, Effort, Figure, Goal
from scripts.benchmarks.queue_controller import Live, live_controller
from scripts.benchmarks.queue_slurm import PARALLEL, Slurm, SlurmAbsentError, slurm, version

MEMBERS = 10_000
SECONDS = {Effort.QUICK: 2.0, Effort.NORMAL: 3.0, Effort.FULL: 5.0}
_JOBS_OF_SLURM = {Effort.QUICK: 400, Effort.NORMAL: 600, Effort.FULL: 1_000}
_TIMEOUT_S = 60.0
_SLURM = f"sbatch x {PARALLEL}"
_SLURM_ARRAY = "sbatch --array"

EIGHT = Figure("Submissions, durable, 8 clients over HTTP", "1/s", Goal(at_least=5.0))
MANY = Figure("Submissions, durable, 64 clients over HTTP", "1/s", Goal(at_least=8.0))
SWEEP = Figure("A sweep of 10,000 over HTTP, durable, to the answer", "ms", Goal(at_most=25.0, of="ours"))


@contextmanager
def _contest(peer: str, ours: Callable[[Live], Contestant], theirs: Callable[[Slurm], Contestant]) -> Iterator[Contest]:
    with ExitStack() as stack:
        live = stack.enter_context(live_controller(with_agent=False))
        try:
            controller = stack.enter_context(slurm())
        except SlurmAbsentError as error:
            yield Contest(ours=ours(live), absent={peer: str(error)})
            return
        yield Contest(ours=ours(live), peers={f"{peer}, {version()}": theirs(controller)})


@contextmanager
def _submissions(effort: Effort) -> Iterator[Contest]:
    def ours(live: Live) -> Contestant:
        return lambda: {EIGHT.name: _load(live, 8, SECONDS[effort]), MANY.name: _load(live, 64, SECONDS[effort])}

    def theirs(controller: Slurm) -> Contestant:
        def contestant() -> Mapping[str, float]:
            rate = controller.submit_many(_JOBS_OF_SLURM[effort])
            return {EIGHT.name: rate, MANY.name: rate}

        return contestant

    with _contest(_SLURM, ours, theirs) as contest:
        yield contest


@contextmanager
def _sweep(effort: Effort) -> Iterator[Contest]:
    del effort
    seeds = count(step=MEMBERS)

    def ours(live: Live) -> Contestant:
        client = live.client()
        return lambda: {SWEEP.name: _sweep_ms(client, next(seeds))}

    def theirs(controller: Slurm) -> Contestant:
        return lambda: {SWEEP.name: controller.submit_array_ms(MEMBERS)}

    with _contest(_SLURM_ARRAY, ours, theirs) as contest:
        yield contest


def _load(live: Live, clients: int, duration_s: float) -> float:
    words = ["-m", "scripts.benchmarks.queue_http_load", live.address.url, str(clients), str(duration_s)]
    ended = subprocess.run(
        [sys.executable, *words],
        env=live.environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=duration_s + _TIMEOUT_S,
    )
    return float(json.loads(ended.stdout)["per_second"])


def _sweep_ms(client: Client, first: int) -> float:
    template = {"kind": "command", "payload": {"command": ["true"]}, "held": True}
    sweep = {"template": template, "axes": [["seed", [str(seed) for seed in range(first, first + MEMBERS)]]]}
    began_s = time.perf_counter()
    client.submit_sweep(sweep)
    return 1e3 * (time.perf_counter() - began_s)


SUBMISSIONS = Bench(figures=(EIGHT, MANY), contest=_submissions)
SWEEPS = Bench(figures=(SWEEP,), contest=_sweep, rounds={Effort.QUICK: 7, Effort.NORMAL: 15, Effort.FULL: 31})
