"""A Ray that several runs share, and that outlives whoever started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.conftest import MakePlan
from tests.cluster.runs import SMALL, train
from tests.fixtures_sources import REPOSITORY
from trainer.launcher import launch
from trainer.run_folder import RunFolder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
DEADLINE_S = 180.0


@pytest.mark.usefixtures("one_ray")
def test_two_runs_of_one_name(make_plan: MakePlan, tmp_path: Path) -> None:
    plans = [
        make_plan("mine", f"run.folder={tmp_path / where}", f"run.seed={seed}", "run.steps=20")
        for seed, where in enumerate(("one", "other"))
    ]
    with ThreadPoolExecutor(max_workers=2) as threads:
        first, second = threads.map(train, plans)
    assert [first.outcome.state, second.outcome.state] == ["finished", "finished"]
    assert list(first.losses) == list(second.losses) == list(range(1, 21))
    assert first.losses != second.losses
    assert first.named("worker_failed") == second.named("worker_failed") == []


@pytest.mark.usefixtures("one_ray")
def test_ctrl_c_while_workers_wait_for_a_place(make_plan: MakePlan) -> None:
    plan = make_plan("crowded", "cluster.workers=64", "run.global_batch=64")
    impatient = threading.Thread(target=_interrupt_twice, args=(RunFolder(plan.folder),), daemon=True)
    impatient.start()
    outcome = launch(plan, lambda event: None)
    impatient.join()
    assert (outcome.state, outcome.exit_code) == ("interrupted", 75)


def _interrupt_twice(folder: RunFolder) -> None:
    _wait_until(lambda: any(event["event"] == "run_started" for event in folder.events()), "the run to start")
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # two presses of a key, not one


@pytest.fixture
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray of its own, started as an administrator starts one; gives its address."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_head.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as head:
        assert head.stdout
        assert head.stdin
        address = head.stdout.readline().strip()
        assert address, "Ray did not start"
        yield address
        head.stdin.close()
        head.wait(timeout=DEADLINE_S)


def test_a_run_outlives_its_driver(shared_ray: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs/mine")
    words = [*SMALL, "run.name=mine", "run.steps=1500", "checkpoint.every_steps=500", "cluster=ray"]
    driver = _ostinato(tmp_path, "train", *words, f"cluster.address={shared_ray}", "cluster.workers=2")
    try:
        _wait_until(lambda: _last_step(folder) >= 5 or driver.poll() is not None, "the first steps")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        left_at = _last_step(folder)
        _wait_until(lambda: _last_step(folder) > left_at + 5, "steps without a driver")
        second = _ostinato(tmp_path, "resume", "mine")
        out, err = second.communicate(timeout=DEADLINE_S * 2)
        assert second.returncode == 0, out + err
    finally:
        driver.kill()
    events = list(folder.events())
    assert [event["step"] for event in events if event["event"] == "step"] == list(range(1, 1501))
    assert {event.get("attempt") for event in events if event["event"] == "run_started"} == {1}, "found, not restarted"


def _ostinato(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )


def _last_step(folder: RunFolder) -> int:
    return max((event["step"] for event in folder.events() if event["event"] == "step"), default=0)


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.1)
