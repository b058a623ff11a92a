"""The same run with its checkpoints on S3, and every worker killed at once."""

import pytest

from checkpoint.commits import list_commits
from checkpoint.stores import open_store
from tests.cluster.conftest import MakePlan
from tests.cluster.runs import kill_rank, train
from tests.fixtures_seaweedfs import SeaweedServer, seaweedfs

__all__ = ["seaweedfs"]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_a_run_on_s3_loses_a_worker_and_ends_with_the_same_losses(
    make_plan: MakePlan, seaweedfs: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweedfs.environment.items():
        monkeypatch.setenv(name, value)  # as a user has them: credentials are never in the configuration
    overrides = ["cluster.workers=2", "run.steps=24", "checkpoint.every_steps=8", "checkpoint.when_busy=wait"]
    local = train(make_plan("local", *overrides))
    plan = make_plan("remote", *overrides, f"checkpoint.url={seaweedfs.url()}")
    remote = train(plan, [kill_rank(0, after_step=12)])

    assert remote.outcome.state == "finished"
    assert remote.losses == local.losses
    store = open_store(plan.checkpoint_url, plan.checkpoint.storage_options)
    assert [commit.step for commit in list_commits(store)] == [24, 16, 8]
    assert not (plan.folder / "checkpoints").exists()


def test_losing_memory_too_goes_back_to_the_newest_commit_on_s3(
    make_plan: MakePlan, seaweedfs: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweedfs.environment.items():
        monkeypatch.setenv(name, value)
    overrides = ["cluster.workers=2", "checkpoint.every_steps=5", f"checkpoint.url={seaweedfs.url()}"]
    first = train(make_plan("memoryless", *overrides, "run.steps=10"))
    # The end of an attempt gives the shared memory back, so the next one has only the store.
    second = train(make_plan("memoryless", *overrides, "run.steps=15"))
    assert [event["origin"] for event in second.named("restored")] == ["store", "store"]
    assert [event["step"] for event in second.named("restored")] == [10, 10]
    assert second.losses.items() >= first.losses.items()
    assert list(second.losses) == list(range(1, 16))
