"""A training job under the agent's launcher: it saves and stops when asked, and goes on in its next attempt."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runs import SMALL

from batch.agent.command import CommandLauncher
from batch.agent.node_processes import LocalProcesses
from batch.launcher import Ended, Lease
from batch.model import Cause, Node
from checkpoint.errors import FencedError
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store
from configs.compose import compose
from scripts.train_jobs import TrainLauncher
from tests.fixtures_agent import kill_jobs
from trainer.events import read_events
from trainer.run_folder import RunFolder, list_runs

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
_STEPS = 400


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[TrainLauncher]:
    yield TrainLauncher(CommandLauncher(LocalProcesses([Node("here", 0, 2)])))
    kill_jobs(tmp_path)


def lease_of(tmp_path: Path, *overrides: str) -> Lease:
    composed = compose([*SMALL, "optim.warmup_steps=2", *overrides])
    return Lease(
        uid=1,
        id="abc1234",
        attempt=1,
        fence=1,
        kind="train",
        payload={"document": composed.document, "overrides": ["run.seed=3"]},
        nodes=("here",),
        gpus=0,
        cpus=1,
        grace_s=60.0,
        time_limit_s=None,
        folder=tmp_path / "jobs/1",
        code_path=None,
    )


def wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 240.0
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def end_of(launcher: TrainLauncher, lease: Lease) -> Ended:
    found: list[Ended] = []

    def is_over() -> bool:
        ended = launcher.poll(lease)
        found.extend([] if ended is None else [ended])
        return bool(found)

    wait_for(is_over, "the end")
    return found[0]


def run_of(lease: Lease) -> RunFolder:
    [run] = list_runs(lease.folder / "run")
    return run


def test_it_stops_after_a_save_and_goes_on_in_the_next_attempt(launcher: TrainLauncher, tmp_path: Path) -> None:
    first = lease_of(tmp_path, f"run.steps={_STEPS}", "checkpoint.every_steps=10")
    launcher.start(first)
    launcher.start(first)  # a no-op
    wait_for(lambda: launcher.progress(first).saved_s is not None, "a checkpoint")
    assert launcher.started_s(first) is not None
    launcher.stop(first, now=False)
    ended = end_of(launcher, first)
    assert (ended.state, ended.exit_code, ended.cause) == ("interrupted", 75, Cause.PREEMPTION)
    run = run_of(first)
    record = run.record()
    assert record is not None
    assert record.step is not None
    assert 10 <= record.step < _STEPS
    assert run.name.endswith("-abc1234")

    # An agent that knows nothing finds the same run by the lease alone, and where it got to in its checkpoints.
    another = TrainLauncher(CommandLauncher(LocalProcesses([Node("here", 0, 2)])))
    second = replace(first, attempt=2, fence=2)
    another.start(second)
    ended = end_of(another, second)
    assert (ended.state, ended.exit_code) == ("succeeded", 0)
    assert ended.metrics
    steps = [event["step"] for event, _ in read_events(run.events_path) if event["event"] == "step"]
    assert steps == list(range(1, _STEPS + 1))
    assert 0 in another.log_paths(second)
    # The first attempt, were it to wake up now, could not even begin to save.
    with pytest.raises(FencedError, match="job abc1234 was placed again"):
        claim_fence(open_store(str(run.path / "checkpoints"), {}), job="abc1234", lease=1)


def test_what_cannot_be_trained_is_told_in_the_words_of_the_driver(launcher: TrainLauncher, tmp_path: Path) -> None:
    lease = lease_of(tmp_path)
    lease = replace(lease, payload={**lease.payload, "overrides": ["run.steps=-1"]})
    launcher.start(lease)
    ended = end_of(launcher, lease)
    assert (ended.state, ended.exit_code, ended.cause) == ("failed", 2, Cause.USER_CODE)
    assert "run.steps" in launcher.log_paths(lease)[0].read_text()
    missing = replace(lease, uid=2, payload={**lease.payload, "overrides": ["data.url=/no/such/catalogue"]})
    missing = replace(missing, folder=tmp_path / "jobs/2")
    launcher.start(missing)
    ended = end_of(launcher, missing)
    assert ended.state == "failed"
    assert "/no/such/catalogue" in ended.message
