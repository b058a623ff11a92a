"""The agent is killed at random moments while commands run: none is lost, none runs twice, exit codes are right."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures_agent import AgentProcess
from tests.fixtures_fake_controller import FakeController, grant, lines

_JOBS = 24


@pytest.fixture
def controller() -> Iterator[FakeController]:
    controller = FakeController()
    yield controller
    controller.close()


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(8, 1), pytest.param(60, 2, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
def test_random_kills(tmp_path: Path, controller: FakeController, kills: int, seed: int) -> None:
    generator = random.Random(seed)
    agent = AgentProcess(tmp_path / "agent", controller.url)
    uids = range(1, _JOBS * max(1, kills // 8) + 1)
    for uid in uids:
        # `mkdir` fails when another process of the job is at work, and `began` counts how often it was started.
        sleep_s = generator.uniform(0.0, 0.6)
        script = f"mkdir busy || exit 99; echo $$ >> began; sleep {sleep_s:.3f}; rmdir busy; exit {uid % 5}"
        controller.place(grant(uid, "sh", "-c", script))
    try:
        for _ in range(kills):
            agent.start()
            time.sleep(generator.uniform(0.05, 1.2))
            agent.kill()
        agent.start()
        for uid in uids:
            ended = controller.wait_for_end(uid, timeout_s=240.0)
            assert ended.exit_code == uid % 5, ended
            assert len(lines(agent.folder / f"jobs/{uid}/run/began")) == 1
    finally:
        agent.kill()
        agent.kill_jobs()
