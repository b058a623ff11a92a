"""An agent whose disk is full lives on: says so, gives back what it cannot start, stops and ends what runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_small_disk import MakeTmpfs, make_tmpfs  # noqa: F401 - a fixture

from batch.agent.held_leases import AgentFolder
from batch.errors import ControllerError
from batch.model import Cause
from tests.fixtures_agent import AgentProcess
from tests.fixtures_fake_controller import FakeController, grant, wait_until


@pytest.fixture
def controller() -> Iterator[FakeController]:
    controller = FakeController()
    yield controller
    controller.close()


@pytest.fixture
def agent(make_tmpfs: MakeTmpfs, controller: FakeController) -> Iterator[AgentProcess]:  # noqa: F811
    agent = AgentProcess(make_tmpfs("small", 4 * 2**20) / "agent", controller.url)
    agent.start()
    yield agent
    agent.kill()
    agent.kill_jobs()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        while has_room(path):
            file.write(b"x" * 4096)


def has_room(path: Path) -> bool:
    return os.statvfs(path).f_bavail > 0


def test_an_agent_outlives_a_full_disk(controller: FakeController, agent: AgentProcess, tmp_path: Path) -> None:
    flag, stone = tmp_path / "go", agent.folder.parent / "stone"
    waits = f"until [ -e {flag} ]; do sleep .05; done"
    controller.place(grant(1, "sleep", "600"), grant(2, "sh", "-c", waits))
    controller.wait_until_started(1, 2)
    fill(stone)
    controller.place(grant(3, "true"))
    end = controller.wait_for_end(3)
    assert (end.state, end.cause) == ("failed", Cause.INFRASTRUCTURE)
    assert f"the agent's folder {agent.folder}: No space left on device (ENOSPC): make room there" in end.message
    wait_until(lambda: "ENOSPC" in controller.requests[-1].trouble, "a word about the disk")
    controller.stop(1)
    assert controller.wait_for_end(1).state == "interrupted"
    flag.touch()
    end = controller.wait_for_end(2)
    assert (end.state, end.exit_code) == ("succeeded", 0)
    stone.unlink()
    wait_until(lambda: controller.requests[-1].trouble == "", "no word about the disk")
    controller.place(grant(3, "true", attempt=2))
    assert controller.wait_for_end(3, 2).state == "succeeded"
    assert not agent.has_left()


def test_an_agent_that_cannot_write_at_its_start_says_so(make_tmpfs: MakeTmpfs) -> None:  # noqa: F811
    folder = make_tmpfs("full", 2**20)
    fill(folder / "stone")
    with pytest.raises(ControllerError, match=r"cannot be written \(No space left on device\): make room there"):
        AgentFolder(folder / "agent")
