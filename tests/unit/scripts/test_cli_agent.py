"""What the agent's entry points make of their input, without starting anything."""

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures_cli import Ostinato
from fixtures_controller import AGENT, DEADLINE_S, FakeAgent, serving, wait_until

from batch.controller import agent_desk
from batch.errors import BadRequestError
from configs.compose import compose
from scripts.cli.agent_command import agent, this_machine
from scripts.run_job import compose_attempt
from scripts.train_payload import TrainAttempt, TrainPayload


def attempt(payload: TrainPayload, **changes: str) -> TrainAttempt:
    return TrainAttempt(payload=payload, job="abc1234.7", lease=3, folder="/jobs/9/run", **changes)


def test_a_machine_is_counted_unless_it_is_told() -> None:
    assert this_machine().cpus == len(os.sched_getaffinity(0))
    told = this_machine("name=n1,cpus=8,gpus=2,accelerator=h100")
    assert (told.name, told.cpus, told.gpus, told.accelerator) == ("n1", 8, 2, "h100")
    for words in ("cpus=many", "gpu=2"):
        with pytest.raises(BadRequestError, match=f"--node {words}: must be like"):
            this_machine(words)


def test_a_job_is_composed_where_its_pool_runs_it() -> None:
    document = compose(["recipe=catalogue_clip", "run.name=mine", "cluster.code_folders=[src]"]).document
    told = attempt(TrainPayload(document=document), cluster="auto", code_folder="/jobs/9/code")
    composed = compose_attempt(told)
    assert (composed.spec.run.name, composed.spec.run.folder) == ("mine", "/jobs/9/run")
    assert composed.document["cluster"]["address"] == "auto"
    assert composed.spec.cluster.code_folders == ("/jobs/9/code/src",)


@pytest.mark.parametrize(
    "payload",
    [
        lambda document: TrainPayload(document=document, overrides=("optim.lr=0.5",)),
        lambda document: TrainPayload(document={**document, "run": {**document["run"], "name": None}}),
        lambda document: TrainPayload(base=("recipe=catalogue_clip", "run.name=mine"), overrides=("optim.lr=0.5",)),
    ],
)
def test_members_of_a_sweep_and_runs_without_a_name_are_named_after_their_job(
    payload: Callable[..., TrainPayload],
) -> None:
    composed = compose_attempt(attempt(payload(compose(["recipe=catalogue_clip", "run.name=mine"]).document)))
    assert str(composed.spec.run.name).endswith("-abc1234.7")
    assert composed.document["run"]["name"] == composed.spec.run.name


def test_a_checkpoint_is_reported_to_the_file_that_the_job_was_given(
    ostinato: Ostinato, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTINATO_CHECKPOINT_FILE", str(tmp_path / "checkpoint.json"))
    assert ostinato("report-checkpoint", "/ckpt/9", "--step", "9").code == 0
    told = json.loads((tmp_path / "checkpoint.json").read_text())
    assert (told["path"], told["step"]) == ("/ckpt/9", 9)
    monkeypatch.delenv("OSTINATO_CHECKPOINT_FILE")
    outside = ostinato("report-checkpoint", "/ckpt/9")
    assert (outside.code, "not in a job" in outside.err) == (0, True)


def test_an_agent_for_a_pool_that_has_one_ends_with_a_clear_error(
    ostinato: Ostinato, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "token").write_text(AGENT)
    with serving(tmp_path / "queue") as served:
        FakeAgent(served).sync()
        words = ["--controller", served.url, "--pool", "local", "--token-file", str(tmp_path / "token")]
        said = ostinato("agent", *words, "--folder", str(tmp_path / "agent"))
    assert (said.code, "has another agent" in said.err, "--take-over" in said.err) == (4, True, True), said.err


def test_an_agent_that_is_to_succeed_another_waits_for_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stops: list[Callable[[], None]] = []
    monkeypatch.setattr(signal, "signal", lambda _, stop: stops.append(stop))
    monkeypatch.setattr("batch.agent.agent._TAKEN_PAUSE_S", 0.05)
    caplog.set_level(logging.INFO)
    (tmp_path / "token").write_text(AGENT)
    with serving(tmp_path / "queue") as served:
        first = FakeAgent(served)
        first.sync()
        where = {"controller": served.url, "token_file": tmp_path / "token", "folder": tmp_path / "agent"}
        thread = threading.Thread(target=agent, kwargs={"pool": "local", "succeed": True, **where})
        thread.start()
        try:
            wait_until(lambda: "has another agent" in caplog.text)
            monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", -1.0)
            wait_until(lambda: served.service.desk._agents["local"].name != first.name)
        finally:
            stops[0]()
            thread.join(DEADLINE_S)


def test_a_pool_that_no_controller_can_name_is_refused(ostinato: Ostinato, tmp_path: Path) -> None:
    for name in ("a/b", "", " a", "x" * 81):
        said = ostinato("agent", "--pool", name, "--folder", str(tmp_path / "agent"))
        assert (said.code, "--pool" in said.err) == (2, True), said.err
    assert not (tmp_path / "agent").exists()
