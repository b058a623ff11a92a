from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checkpoint.config import CheckpointConfig
from recipes.config import CatalogueClipConfig, CatalogueDataConfig, ClipModelConfig
from tests.fakes_cluster import FakeCluster, all_end, one_fails, when_asked_to_stop
from trainer.config import ClusterConfig, EngineConfig, OptimConfig, RetryBudgets, RunConfig
from trainer.errors import ClusterTooSmall, StoppedWhileStarting
from trainer.events import read_events
from trainer.failures import Cause, EndKind
from trainer.plan import RunPlan
from trainer.run_folder import RunFolder
from trainer.supervisor import Supervisor


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    folder = RunFolder(tmp_path / "runs" / "demo")
    folder.create({}, {})
    return RunPlan(
        name="demo",
        folder=folder.path,
        checkpoint_url=str(tmp_path / "checkpoints"),
        run=RunConfig(steps=9),
        optim=OptimConfig(),
        engine=EngineConfig(),
        cluster=ClusterConfig(workers=2, retries=RetryBudgets(infrastructure=2, user_code=2)),
        checkpoint=CheckpointConfig(),
        recipe=CatalogueClipConfig(),
        model=ClipModelConfig(),
        data=CatalogueDataConfig(),
    )


def _events(plan: RunPlan, name: str) -> list[dict[str, Any]]:
    return [event for event, _ in read_events(RunFolder(plan.folder).events_path) if event["event"] == name]


def test_a_run_that_ends_by_itself_is_finished(plan: RunPlan) -> None:
    cluster = FakeCluster(all_end(EndKind.FINISHED, 9))
    outcome = Supervisor(plan, 1, cluster).run()
    record = RunFolder(plan.folder).record()
    assert (outcome.state, outcome.exit_code, outcome.step) == ("finished", 0, 9)
    assert record is not None
    assert (record.state, record.attempt, record.generation, record.step) == ("finished", 1, 1, 9)
    assert cluster.groups[0].killed


def test_a_death_starts_a_new_generation_that_knows_what_it_recovers_from(plan: RunPlan) -> None:
    cluster = FakeCluster(one_fails(1, Cause.INFRASTRUCTURE), all_end(EndKind.FINISHED, 9))
    assert Supervisor(plan, 1, cluster).run().state == "finished"
    first, second = cluster.groups
    assert first.killed
    assert first.assignments[0].recovery is None
    recovery = second.assignments[0].recovery
    assert recovery is not None
    assert recovery.step_reached == 1
    assert [a.generation for a in second.assignments] == [2, 2]
    assert [first.assignments[0].fence, second.assignments[0].fence] == [1, 2]
    assert [(e["worker"], e["cause"]) for e in _events(plan, "worker_died")] == [(1, "infrastructure")]


def test_deaths_beyond_the_budget_fail_the_run_with_the_limit(plan: RunPlan) -> None:
    outcome = Supervisor(plan, 1, FakeCluster(*[one_fails(0, Cause.INFRASTRUCTURE)] * 3)).run()
    assert (outcome.state, outcome.exit_code) == ("failed", 1)
    assert "2 of 2 retries for infrastructure are used" in (outcome.reason or "")


def test_the_same_bug_twice_fails_with_its_traceback(plan: RunPlan) -> None:
    bug = one_fails(1, Cause.USER_CODE, step=4, fingerprint="f", text="Traceback: model.py line 12")
    outcome = Supervisor(plan, 1, FakeCluster(bug, bug)).run()
    assert outcome.state == "failed"
    assert "Traceback: model.py line 12" in (outcome.reason or "")
    assert len(_events(plan, "decision")) == 2


def test_a_lost_peer_without_a_culprit_counts_as_infrastructure(plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.supervisor._CULPRIT_TIMEOUT_S", 0.05)
    cluster = FakeCluster(all_end(EndKind.PEER_LOST, 3), all_end(EndKind.FINISHED, 9))
    assert Supervisor(plan, 1, cluster).run().state == "finished"
    assert "lost their peers" in _events(plan, "decision")[0]["message"]


def test_a_stop_file_ends_the_run_after_a_save(plan: RunPlan) -> None:
    cluster = FakeCluster(when_asked_to_stop(5))
    supervisor = Supervisor(plan, 1, cluster)
    RunFolder(plan.folder).request_stop()
    outcome = supervisor.run()
    assert (outcome.state, outcome.exit_code, outcome.step) == ("interrupted", 75, 5)


def test_stopping_at_once_does_not_wait_for_the_workers(plan: RunPlan) -> None:
    cluster = FakeCluster(lambda group: [])
    supervisor = Supervisor(plan, 1, cluster)
    supervisor.stop(now=True)
    assert supervisor.run().exit_code == 75
    assert cluster.groups[0].killed


def test_an_old_stop_request_does_not_stop_the_next_attempt(plan: RunPlan) -> None:
    RunFolder(plan.folder).request_stop(now=True)
    assert Supervisor(plan, 1, FakeCluster(all_end(EndKind.FINISHED, 9))).run().state == "finished"


def test_workers_that_cannot_be_placed_fail_the_run_with_the_reason(plan: RunPlan) -> None:
    outcome = Supervisor(plan, 1, FakeCluster(ClusterTooSmall("cluster.workers = 2: cannot be placed"))).run()
    assert outcome.state == "failed"
    assert "cluster.workers = 2: cannot be placed" in (outcome.reason or "")


def test_a_node_lost_later_is_waited_for_by_retrying(plan: RunPlan) -> None:
    cluster = FakeCluster(
        one_fails(0, Cause.INFRASTRUCTURE), ClusterTooSmall("node gone"), all_end(EndKind.FINISHED, 9)
    )
    assert Supervisor(plan, 1, cluster).run().state == "finished"


def test_a_restarted_supervisor_goes_on_within_the_attempt(plan: RunPlan) -> None:
    """The first supervisor dies after writing its record; the second takes the same attempt up."""
    first = Supervisor(plan, 1, FakeCluster())
    del first
    cluster = FakeCluster(all_end(EndKind.FINISHED, 9))
    assert Supervisor(plan, 1, cluster).run().state == "finished"
    record = RunFolder(plan.folder).record()
    assert record is not None
    assert record.attempt == 1
    assert _events(plan, "supervisor_restarted")


def test_every_generation_claims_a_newer_fence(plan: RunPlan) -> None:
    fences = []
    for attempt in (1, 2, 3):
        cluster = FakeCluster(all_end(EndKind.FINISHED, 9))
        Supervisor(plan, attempt, cluster).run()
        fences.append(cluster.groups[0].assignments[0].fence)
    assert fences == [1, 2, 3]


def test_a_finished_run_may_go_on_with_more_steps(plan: RunPlan) -> None:
    Supervisor(plan, 1, FakeCluster(all_end(EndKind.FINISHED, 9))).run()
    longer = replace(plan, run=RunConfig(steps=20))
    assert Supervisor(longer, 2, FakeCluster(all_end(EndKind.FINISHED, 20))).run().step == 20


def test_another_run_of_the_same_name_never_finds_these_snapshots(plan: RunPlan, tmp_path: Path) -> None:
    """The snapshots of a run that failed stay in memory for a while, and its name may be used again."""
    elsewhere = RunFolder(tmp_path / "elsewhere" / "demo")
    elsewhere.create({}, {})
    plans = [plan, plan, replace(plan, folder=elsewhere.path), replace(plan, checkpoint_url=str(tmp_path / "moved"))]
    names = []
    for attempt, each in enumerate(plans, start=1):
        cluster = FakeCluster(all_end(EndKind.FINISHED, 9))
        Supervisor(each, attempt, cluster).run()
        names.append(cluster.groups[0].assignments[0].snapshots)
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_stop_while_workers_are_being_started_interrupts_the_run(plan: RunPlan) -> None:
    supervisor = Supervisor(plan, 1, FakeCluster(StoppedWhileStarting("stopped while the workers were being started")))
    supervisor.stop()
    assert supervisor.run().exit_code == 75


def test_a_restarted_supervisor_remembers_the_retries_that_were_spent(plan: RunPlan) -> None:
    first = Supervisor(plan, 1, FakeCluster(one_fails(0, Cause.INFRASTRUCTURE), ClusterTooSmall("node gone")))
    first._judge(first._generation(None))
    second = Supervisor(plan, 1, FakeCluster())
    assert second._history == first._history
    assert second._history.spent[Cause.INFRASTRUCTURE] == 1
