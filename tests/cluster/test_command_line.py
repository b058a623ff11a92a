"""The command `ostinato` trains for real: Ctrl-C saves and leaves with 75, `resume` finishes, `stop` reaches a run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fixtures_sources import REPOSITORY
from runs import SMALL

from trainer.run_folder import RunFolder

pytestmark = pytest.mark.cluster
COMMAND = [sys.executable, "-m", "scripts.cli"]
TRAIN = [*SMALL, "run.name=mine", "optim.warmup_steps=2", "optim.decay_steps=100000", "checkpoint.every_steps=1000"]
DEADLINE_S = 180.0

Running = subprocess.Popen[str]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Running]]:
    """The processes that a test started; those that still live are ended."""
    processes: list[Running] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def start(started: list[Running], folder: Path, *words: str) -> Running:
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    started.append(process)
    return process


def finish(process: Running) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def wait_for_step(folder: Path, step: int, process: Running) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    run = RunFolder(folder / "runs/mine")
    while time.monotonic() < deadline_s and process.poll() is None:
        if any(event["event"] == "step" and event["step"] >= step for event in run.events()):
            return
        time.sleep(0.1)
    pytest.fail(f"no step {step}: {finish(process)}")


def last_step(folder: Path) -> int:
    return max(event["step"] for event in RunFolder(folder / "runs/mine").events() if event["event"] == "step")


@pytest.mark.timeout(600)
def test_interrupted_twice_resumed_and_finished(tmp_path: Path, started: list[Running]) -> None:
    first = start(started, tmp_path, "train", *TRAIN, "run.steps=100000")
    wait_for_step(tmp_path, 5, first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal sends it: to Ray's processes and the workers too
    code, out, err = finish(first)
    assert (code, err) == (75, "")
    assert out.rstrip().endswith("resume with: ostinato resume mine")

    second = start(started, tmp_path, "resume", "mine")
    wait_for_step(tmp_path, last_step(tmp_path) + 3, second)
    second.send_signal(signal.SIGTERM)  # as a scheduler sends it: to the command alone
    code, out, err = finish(second)
    assert code == 75, out + err
    reached = json.loads(finish(start(started, tmp_path, "show", "mine", "-o", "json"))[1])["step"]

    code, out, err = finish(start(started, tmp_path, "resume", "mine", f"run.steps={reached + 3}", "-o", "json"))
    assert (code, json.loads(out)["step"]) == (0, reached + 3), err
    steps = [event["step"] for event in RunFolder(tmp_path / "runs/mine").events() if event["event"] == "step"]
    assert steps == list(range(1, reached + 4))


def test_stopped_while_ray_starts(tmp_path: Path, started: list[Running]) -> None:
    training = start(started, tmp_path, "train", *TRAIN, "run.steps=100000")
    deadline_s = time.monotonic() + DEADLINE_S
    while not (tmp_path / "runs/mine/config.yaml").exists():
        assert time.monotonic() < deadline_s, finish(training)
        time.sleep(0.01)
    training.send_signal(signal.SIGTERM)
    code, out, err = finish(training)
    assert (code, err) == (75, "")
    assert out.rstrip().endswith("resume with: ostinato resume mine")


def test_a_ray_that_dies_is_told_and_the_run_goes_on_later(tmp_path: Path, started: list[Running]) -> None:
    training = start(started, tmp_path, "train", *TRAIN, "run.steps=100000")
    wait_for_step(tmp_path, 3, training)
    (server,) = (child for child in psutil.Process(training.pid).children() if child.name() == "gcs_server")
    server.kill()
    code, _, err = finish(training)
    assert code == 4
    assert "Ray's own gcs_server ended; what was saved stands: ostinato resume mine" in err
    reached = last_step(tmp_path)
    code, out, err = finish(start(started, tmp_path, "resume", "mine", f"run.steps={reached + 3}", "-o", "json"))
    assert (code, json.loads(out)["step"]) == (0, reached + 3), err


def test_stop_from_another_process(tmp_path: Path, started: list[Running]) -> None:
    training = start(started, tmp_path, "train", *TRAIN, "run.steps=100000", "-o", "json")
    wait_for_step(tmp_path, 2, training)
    second = finish(start(started, tmp_path, "resume", "mine"))
    assert (second[0], "already being trained" in second[2]) == (4, True)
    shown = json.loads(finish(start(started, tmp_path, "show", "mine", "-o", "json"))[1])
    assert (shown["state"], shown["attempt"], shown["generation"], shown["process"]) == ("running", 1, 1, training.pid)
    assert shown["folder"] == str(tmp_path / "runs/mine")
    (worker,) = shown["workers"]
    assert worker.keys() == {"rank", "node", "pid"}
    assert (worker["rank"], psutil.pid_exists(worker["pid"])) == (0, True)
    code, out, _ = finish(start(started, tmp_path, "stop", "mine"))
    assert (code, "mine is interrupted at step" in out) == (0, True)
    code, out, _ = finish(training)
    assert (code, json.loads(out)["resume_command"]) == (75, "ostinato resume mine")
