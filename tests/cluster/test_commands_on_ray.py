"""Command jobs on the nodes of a real Ray: through warm actors, in bursts, past the death of who started them."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.agent.agent import Agent
from batch.agent.attempts import Attempts
from batch.agent.command import CommandLauncher
from batch.agent.controller_link import ControllerLink
from batch.agent.held_leases import AgentFolder
from batch.agent.job_code import JobCode
from batch.agent.logs import LogStore
from batch.errors import LaunchError
from batch.model import Cause
from scripts.ray_nodes import RayProcesses
from tests.fixtures_agent import kill_jobs
from tests.fixtures_fake_controller import FakeController, grant, lines, wait_until
from trainer.config import ClusterConfig
from trainer.connection_ray import connected
from trainer.nodes_ray import RayNodes

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def processes() -> Iterator[RayProcesses]:
    with connected(ClusterConfig(workers=2)):
        yield RayProcesses(RayNodes())


@pytest.fixture
def controller() -> Iterator[FakeController]:
    controller = FakeController()
    yield controller
    controller.close()


@pytest.fixture
def folder(tmp_path: Path, controller: FakeController, processes: RayProcesses) -> Iterator[Path]:
    """An agent of the cluster, and its folder."""
    home = AgentFolder(tmp_path / "agent")
    link = ControllerLink(controller.url, "ray")
    launchers = {"command": CommandLauncher(processes)}
    code, logs = JobCode(home.path / "code", link.code), LogStore(home.path / "logs")
    attempts = Attempts(home, launchers, processes, code, logs)
    agent = Agent(home, attempts, processes, lambda: ControllerLink(controller.url, "ray"), wait_s=2.0)
    thread = threading.Thread(target=agent.run)
    thread.start()
    yield home.path
    agent.stop()
    thread.join(60.0)
    home.close()
    kill_jobs(home.path)


def node_of(controller: FakeController) -> str:
    wait_until(lambda: bool(controller.requests) and bool(controller.requests[0].nodes), "the nodes")
    return controller.requests[0].nodes[0].name


def test_trivial_jobs_over_one_warm_actor(controller: FakeController, folder: Path) -> None:
    node = node_of(controller)
    used = []
    for uid in range(1, 22):
        controller.place(grant(uid, "true", nodes=(node,)))
        assert controller.wait_for_end(uid).state == "succeeded"
        used.append(callers())
    [warm] = used[0]
    assert used == [{warm}] * 21, "the 1.3 s of a process of Ray's own for each job must not come back"


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_burst(controller: FakeController, folder: Path, count: int) -> None:
    node = node_of(controller)
    controller.place(*(grant(uid, "true", nodes=(node,)) for uid in range(1, count + 1)))
    for uid in range(1, count + 1):
        assert controller.wait_for_end(uid, timeout_s=300.0).state == "succeeded"


def test_a_job_knows_its_node_and_outlives_the_actor_that_started_it(controller: FakeController, folder: Path) -> None:
    node = node_of(controller)
    script = "echo $OSTINATO_NODE $RAY_JOB_ID; while ! test -e go; do sleep 0.05; done; exit 6"
    controller.place(grant(1, "sh", "-c", script, nodes=(node,)))
    log = folder / "jobs/1/attempts/1/rank-0.log"
    wait_until(lambda: lines(log) == [node], "the job to speak")
    actors = callers()
    assert actors
    for pid in actors:
        os.kill(pid, signal.SIGKILL)
    (folder / "jobs/1/run/go").touch()
    assert controller.wait_for_end(1).exit_code == 6
    controller.place(grant(2, "true", nodes=(node,)))
    assert controller.wait_for_end(2).state == "succeeded"


def test_a_node_that_is_not_there(controller: FakeController, folder: Path, processes: RayProcesses) -> None:
    with pytest.raises(LaunchError, match="node gone is not in the cluster"):
        processes.address("gone")
    controller.place(grant(1, "true", nodes=("gone",)))
    ended = controller.wait_for_end(1)
    assert (ended.state, ended.cause) == ("failed", Cause.LAUNCH)


def callers() -> set[int]:
    """Return the processes of the warm actors."""
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _is_caller(path)}


def _is_caller(path: Path) -> bool:
    """Return whether this is the process of a warm actor of our own Ray."""
    try:
        words = (path / "cmdline").read_bytes()
        parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return False
    return words.startswith(b"ray::_Caller") and grandparent == os.getpid()
