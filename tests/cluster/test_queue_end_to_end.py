"""A sweep of real trainings, and commands; everybody is killed on the way, and all finish once, with results."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL

from batch.client import Client
from batch.state_folder import StateFolder, find_controller
from scripts.cli.sweep_command import sweep_json
from scripts.embedded import agent_pid, start_controller, stop_controller
from tests.fixtures_agent import kill_jobs
from tests.fixtures_cli import crash
from trainer.events import read_events
from trainer.run_folder import list_runs

pytestmark = pytest.mark.cluster
_STEPS = 60
_COMMANDS = 20


class Queue:
    """A user's controller and agent on this machine, which can be killed and come back."""

    def __init__(self, home: Path) -> None:
        self.folder = StateFolder(home)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]  # the same after each restart: the agent keeps knocking there
        self.up()

    def up(self) -> None:
        start_controller(self.folder, port=self._port)

    def client(self) -> Client:
        return Client(find_controller({"OSTINATO_HOME": str(self.folder.path)}))

    def kill_controller(self) -> None:
        record = self.folder.record()
        assert record is not None
        crash(record.pid)
        self.up()

    def kill_agent(self) -> None:
        crash(agent_pid(self.folder))
        self.up()

    def runs(self) -> list[Any]:
        return [run for job in (self.folder.path / "agent/jobs").glob("*/run") for run in list_runs(job)]

    def kill_worker(self) -> None:
        """Kill the worker of some run that trains, in the middle of it."""
        deadline_s = time.monotonic() + 400.0
        while time.monotonic() < deadline_s:
            for run in self.runs():
                record = run.record()
                steps = [event["step"] for event, _ in read_events(run.events_path) if event["event"] == "step"]
                if record is not None and record.workers and 5 <= max(steps, default=0) <= _STEPS - 20:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(record.workers[0].pid, signal.SIGKILL)
                        return
            time.sleep(0.02)
        raise AssertionError("no worker was training")

    def down(self) -> None:
        stop_controller(self.folder)
        kill_jobs(self.folder.path / "agent")


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    queue = Queue(tmp_path / "home")
    yield queue
    queue.down()


def wait_for(holds: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("members", [3, pytest.param(12, marks=pytest.mark.long)])
def test_everything_finishes_once_whoever_is_killed(queue: Queue, members: int) -> None:
    overrides = [*SMALL, f"run.steps={_STEPS}", "optim.warmup_steps=2", "checkpoint.every_steps=10"]
    sweep = sweep_json([*overrides, f"run.seed=range(0,{members})"])
    with queue.client() as client:
        made = client.submit_sweep(sweep)
        commands = client.submit(
            [{"kind": "command", "payload": {"command": ["sh", "-c", f"exit {n % 2}"]}} for n in range(_COMMANDS)]
        )
        assert client.submit_sweep(sweep)["id"] == made["id"]  # again is a no-op
    queue.kill_controller()
    queue.kill_worker()
    queue.kill_agent()
    queue.kill_controller()
    ids = [f"{made['id']}.{index}" for index in range(members)] + [each["id"] for each in commands]
    with queue.client() as client:
        wait_for(lambda: all(client.job(each)["ended_s"] for each in ids), "all jobs to be over", 700.0)
        rows = [client.job(each) for each in ids]
    trainings, rest = rows[:members], rows[members:]
    assert {row["state"] for row in trainings} == {"succeeded"}, trainings
    assert [row["exit_code"] for row in rest] == [n % 2 for n in range(_COMMANDS)]
    # None had to start twice: the worker was replaced within its attempt, and the agent's death changed nothing.
    assert {row["attempt"] for row in rows} == {1}
    runs = queue.runs()
    assert len(runs) == members
    for run in runs:
        record = run.record()
        assert record is not None
        assert (record.state, record.step) == ("finished", _STEPS)
    assert sum(event["event"] == "worker_died" for run in runs for event in run.events()) == 1
