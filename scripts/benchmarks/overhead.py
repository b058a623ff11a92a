"""Step time under our supervisor with a snapshot per step, beside the same loop under bare torchrun and DeepSpeed."""

import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from trainer.events import read_events

WORKERS = 2
STEPS_PER_TURN = 20  # some seconds: a machine that others share changes its speed from minute to minute
START_TIMEOUT_S = 300.0
TURN_TIMEOUT_S = 120.0
_WARM_STEPS = 10
_FOR_EVER = 1_000_000
OVERRIDES = (f"cluster.workers={WORKERS}", f"run.steps={_FOR_EVER}", "checkpoint.every_steps=50")


class Job:
    """A training job that runs only in its turns; between them all its processes are stopped.

    Both jobs live through the whole benchmark, so that rounds are seconds long and share the state of the machine.
    """

    def __init__(self, log_path: Path, processes: Callable[[], Sequence[psutil.Process]]) -> None:
        self._log_path = log_path
        self._processes = processes
        self._offset = 0

    def turn(self, num_steps: int, timeout_s: float = TURN_TIMEOUT_S) -> list[float]:
        """Run for `num_steps` and return the seconds of each of them but the first, which began before the turn."""
        self._signal(signal.SIGCONT)
        try:
            times = self._times(num_steps + 1, timeout_s)
        finally:
            self._signal(signal.SIGSTOP)
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def _times(self, count: int, timeout_s: float) -> list[float]:
        deadline_s = time.monotonic() + timeout_s
        times: list[float] = []
        while len(times) < count:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self._log_path}: {len(times)} of {count} steps within {timeout_s:.0f} s")
            time.sleep(0.02)
            for event, behind in read_events(self._log_path, self._offset):
                self._offset = behind
                if event["event"] == "step":
                    times.append(event["time_s"])
        return times

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@contextmanager
def contest(effort: Effort) -> Iterator[Contest]:
    """Start both jobs, one after the other, and let them take turns."""
    with tempfile.TemporaryDirectory(prefix="ostinato-overhead-") as folder, contextlib.ExitStack() as stack:
        ours = stack.enter_context(_our_job(Path(folder)))
        peer = stack.enter_context(_bare_job(Path(folder)))
        yield Contest(ours=_contestant(ours), peers={"torchrun + DeepSpeed": _contestant(peer)})


def _contestant(job: Job) -> Callable[[], Mapping[str, float]]:
    def contestant() -> dict[str, float]:
        seconds = job.turn(STEPS_PER_TURN)
        return {"median step": statistics.median(seconds), "mean step": statistics.mean(seconds)}

    return contestant


@contextmanager
def _our_job(folder: Path) -> Iterator[Job]:
    run_folder = folder / "runs" / "overhead"
    names = [f"run.folder={folder}/runs", "run.name=overhead"]
    command = [sys.executable, "-m", "scripts.cli", "train", *names, *OVERRIDES]
    with _started(command, folder / "ours.log") as process:
        job = Job(run_folder / "events.jsonl", lambda: [*_workers_below(process), *_keepers(folder)])
        job.turn(_WARM_STEPS, START_TIMEOUT_S)
        yield job


@contextmanager
def _bare_job(folder: Path) -> Iterator[Job]:
    log_path = folder / "bare.jsonl"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={WORKERS}"]
    command = [*torchrun, "-m", "scripts.benchmarks.bare_loop", str(log_path), *OVERRIDES]
    with _started(command, folder / "bare.log") as process:
        job = Job(log_path, lambda: psutil.Process(process.pid).children(recursive=True))
        job.turn(_WARM_STEPS, START_TIMEOUT_S)
        yield job


@contextmanager
def _started(command: list[str], output_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    with output_path.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            yield process
        except BaseException as error:
            error.add_note(output_path.read_text(errors="replace")[-2000:])
            raise
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a job whose processes are stopped: let them run again, ask, then kill what is left."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=30)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def _workers_below(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "_WorkerProcess" in child.name() or "_WorkerProcess" in _title(child)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _keepers(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if "checkpoint.keeper" in _title(p) and str(folder) in _title(p)]


BENCH = Bench(
    figures=(Figure("median step", "s", goal=Goal(at_most=1.03)), Figure("mean step", "s")),
    contest=contest,
    rounds={Effort.QUICK: 8, Effort.NORMAL: 30, Effort.FULL: 90},
    packages=("deepspeed", "torch", "ray"),
)
