"""`train` and `resume` up to the launcher, which is scripted here; tests/cluster trains for real."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures_checkpoint import make_states, save
from fixtures_cli import Ostinato, make_run

from checkpoint.store_local import LocalStore
from configs.compose import compose
from scripts.starting import checkpoint_url
from trainer.errors import ClusterUnreachable
from trainer.events import EventLog
from trainer.plan import Outcome, RunPlan
from trainer.run_folder import RunFolder

Launched = list[RunPlan]
MODEL = "model.embedding_dim=32"


@pytest.fixture
def outcome() -> dict[str, Any]:
    return {"state": "finished", "exit_code": 0, "step": 200, "metrics": {"heldout/en": 0.5}}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any]) -> Launched:
    plans: Launched = []

    def launch(
        plan: RunPlan, observer: Callable[[dict[str, Any]], None], begin: Callable[[], None] = lambda: None
    ) -> Outcome:
        folder = RunFolder(plan.folder)
        with folder.lock():
            begin()
        assert folder.exists()
        EventLog(folder.events_path, run=plan.name).write("step", step=1, loss=4.5)
        plans.append(plan)
        observer({"event": "run_started", "attempt": 1, "workers": plan.cluster.workers, "steps": plan.run.steps})
        observer({"event": "step", "step": 1, "loss": 4.5, "lr": 1e-3, "grad_norm": 1.0, "samples_per_s": 99.0})
        if "error" in outcome:
            raise outcome["error"]
        return Outcome(**outcome)

    monkeypatch.setattr("trainer.launcher.launch", launch)
    return plans


def test_train_makes_the_folder_and_launches(ostinato: Ostinato, launched: Launched, tmp_path: Path) -> None:
    said = ostinato("train", "cluster.workers=2", "run.name=mine")
    assert said.code == 0
    (plan,) = launched
    assert plan.folder == tmp_path / "runs/mine"
    assert plan.checkpoint_url == str(tmp_path / "runs/mine/checkpoints")
    assert plan.cluster.code_folders == (str(tmp_path),)
    assert plan.resume_command == "ostinato resume mine"
    assert "step 1/200  loss 4.5000" in said.out
    folder = RunFolder(plan.folder)
    assert folder.document()["cluster"]["workers"] == 2
    provenance = folder.provenance()
    assert provenance["command"] == ["ostinato", "train", "cluster.workers=2", "run.name=mine"]
    assert {"fingerprint", "code", "packages", "python"} <= provenance.keys()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kept", "{here}/kept/mine"),
        ("file://{here}/kept", "file://{here}/kept/mine"),
    ],
)
def test_checkpoints_go_below_the_url_under_the_name(
    ostinato: Ostinato, launched: Launched, tmp_path: Path, url: str, expected: str
) -> None:
    ostinato("train", "run.name=mine", f"checkpoint.url='{url.format(here=tmp_path)}'")
    assert launched[0].checkpoint_url == expected.format(here=tmp_path)


def test_checkpoints_in_a_bucket_lie_below_the_name_too() -> None:
    spec = compose(["run.name=mine", "checkpoint.url=s3://bucket/prefix/"]).spec
    assert checkpoint_url(spec, Path("runs/mine")) == "s3://bucket/prefix/mine"


def test_json_on_stdout_is_one_object_and_progress_goes_to_stderr(ostinato: Ostinato, launched: Launched) -> None:
    said = ostinato("train", "run.name=mine", "-o", "json")
    assert said.value["state"] == "finished"
    assert said.value["metrics"] == {"heldout/en": 0.5}
    assert "step 1/200" in said.err


def test_interrupted_leaves_with_75_and_the_command_that_resumes(
    ostinato: Ostinato, launched: Launched, outcome: dict[str, Any]
) -> None:
    outcome.update(state="interrupted", exit_code=75, step=7, metrics={})
    said = ostinato("train", "run.name=mine")
    assert (said.code, "resume with: ostinato resume mine" in said.out) == (75, True)
    assert ostinato("train", "run.name=mine", "-o", "json").value["resume_command"] == "ostinato resume mine"


def test_failed_says_why_and_where_to_look(ostinato: Ostinato, launched: Launched, outcome: dict[str, Any]) -> None:
    outcome.update(state="failed", exit_code=1, reason="the same traceback twice", metrics={})
    said = ostinato("train", "run.name=mine")
    assert said.code == 1
    assert "the same traceback twice" in said.err
    assert "logs" in said.err


def test_a_cluster_that_does_not_answer(ostinato: Ostinato, launched: Launched, outcome: dict[str, Any]) -> None:
    outcome["error"] = ClusterUnreachable("no Ray at head:6379 within 30 s")
    said = ostinato("train", "run.name=mine", "cluster=ray", "cluster.address=head:6379")
    assert (said.code, said.err.count("\n")) == (4, 1)
    assert "no Ray at head:6379" in said.err


def test_train_continues_a_run_that_exists(ostinato: Ostinato, launched: Launched) -> None:
    ostinato("train", "run.name=mine")
    said = ostinato("train", "run.name=mine", "cluster.workers=2", "engine=zero3")
    assert (said.code, "continuing mine" in said.out) == (0, True)
    assert RunFolder(launched[1].folder).document()["engine"]["zero_stage"] == 3


def test_train_refuses_a_run_that_is_another(ostinato: Ostinato, launched: Launched) -> None:
    ostinato("train", "run.name=mine")
    said = ostinato("train", "run.name=mine", "optim.lr=1e-4")
    assert (said.code, len(launched)) == (2, 1)
    assert "choose another run.name" in said.err
    assert "optim.lr = 0.0001: the run has 0.003" in said.err


def test_train_of_a_finished_run_starts_nothing(ostinato: Ostinato, launched: Launched) -> None:
    make_run(Path("runs"), "mine", record={"state": "finished", "step": 200})
    said = ostinato("train", "run.name=mine")
    assert (said.code, launched, "is finished at step 200" in said.out) == (0, [], True)
    more = ostinato("train", "run.name=mine", "run.steps=300", "optim.decay_steps=200")
    assert (more.code, len(launched)) == (0, 1)


def test_resume_takes_the_kept_configuration(ostinato: Ostinato, launched: Launched) -> None:
    make_run(Path("elsewhere"), "mine", overrides=[MODEL, "optim.lr=1e-4"], record={"state": "interrupted", "step": 7})
    said = ostinato("resume", "mine", "cluster.workers=2", "--folder", "elsewhere")
    assert said.code == 0
    (plan,) = launched
    assert (plan.optim.lr, plan.cluster.workers) == (1e-4, 2)
    assert plan.folder == Path("elsewhere/mine").resolve()
    assert plan.resume_command == f"ostinato resume {plan.folder}"


def test_resume_refuses_what_is_not_elastic(ostinato: Ostinato, launched: Launched) -> None:
    make_run(Path("runs"), "mine", steps=[(1, 4.5)])
    assert ostinato("resume", "mine", "run.seed=5").code == 2
    assert ostinato("resume", "mine", "model=clip_bytes").code == 2
    assert launched == []


def test_dry_run_shows_everything_and_writes_nothing(ostinato: Ostinato, launched: Launched, tmp_path: Path) -> None:
    words = ["train", "--dry-run", "cluster.workers=2", "run.micro_batch=16", "engine=zero2", "run.name=mine"]
    shown = ostinato(*words, "-o", "json").value
    assert shown["world_size"] == 2
    assert shown["batch"] == {"global_batch": 128, "micro_batch": 16, "accumulation": 4, "ranks": 2}
    memory, parameters = shown["memory_per_rank"], shown["parameters"]
    assert memory["weight_bytes"] == 4 * parameters
    assert memory["moment_bytes"] == 8 * -(-parameters // 2)
    assert (shown["exists"], shown["checkpoint_url"]) == (False, str(tmp_path / "runs/mine/checkpoints"))
    assert shown["configuration"]["engine"]["zero_stage"] == 2
    text = ostinato(*words).out
    assert "128 = 16 per micro-batch x 4 accumulated x 2 ranks" in text
    assert "zero_stage: 2" in text
    assert "/dev/shm" in text
    assert (launched, list(tmp_path.iterdir())) == ([], [])


def test_dry_run_does_not_import_what_the_user_brings(ostinato: Ostinato) -> None:
    words = ["recipe=custom", "model._target_=no.such.Model", "data._target_=no.such.Data", "--dry-run"]
    assert ostinato("train", *words, "-o", "json").value["memory_per_rank"] is None
    assert "unknown, brought by _target_" in ostinato("train", *words).out


def test_dry_run_says_whether_the_run_would_continue(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "mine", record={"state": "interrupted", "step": 7})
    assert "mine: exists, would be continued" in ostinato("resume", "mine", "--dry-run").out


def test_a_users_own_groups(ostinato: Ostinato, launched: Launched) -> None:
    Path("own/engine").mkdir(parents=True)
    Path("own/engine/mine.yaml").write_text("zero_stage: 2\n")
    assert ostinato("train", "engine=mine", "--config-dir", "own").code == 0
    assert launched[0].engine.zero_stage == 2
    said = ostinato("train", "engine=mine")
    assert (said.code, "must be zero0" in said.err) == (2, True)


def test_warnings_go_to_stderr(ostinato: Ostinato, launched: Launched) -> None:
    said = ostinato("train", "run.steps=10", "-o", "json")
    assert said.err.startswith("warning: optim.warmup_steps = 20")
    assert json.loads(said.out)["state"] == "finished"


def test_a_folder_that_cannot_be_made(ostinato: Ostinato, launched: Launched) -> None:
    Path("runs").write_text("a file")
    said = ostinato("train", "run.name=mine")
    assert (said.code, launched) == (4, [])
    assert "choose another run.folder" in said.err


def test_a_run_whose_checkpoints_did_not_come_along(ostinato: Ostinato, launched: Launched, tmp_path: Path) -> None:
    old, new = tmp_path / "runs/mine/checkpoints", tmp_path / "moved/mine"
    interrupted = {"state": "interrupted", "step": 20, "checkpoint_url": str(old)}
    make_run(Path("runs"), "mine", record=interrupted, steps=[(20, 1.0)])
    save(LocalStore(old), make_states(20, 1))
    said = ostinato("resume", "mine", "checkpoint.url=moved")
    assert (said.code, len(launched)) == (2, 0)
    assert f"checkpoint.url = {new}: there is no checkpoint of this run, which wrote some to {old}" in said.err
    shutil.copytree(old, new)
    assert ostinato("resume", "mine", "checkpoint.url=moved").code == 0
    assert launched[-1].checkpoint_url == str(new)


def test_a_run_whose_checkpoints_are_gone(ostinato: Ostinato, launched: Launched, tmp_path: Path) -> None:
    make_run(Path("runs"), "mine", record={"state": "interrupted", "step": 20}, steps=[(20, 1.0)])
    said = ostinato("resume", "mine")
    assert (said.code, launched) == (2, [])
    assert "there is no checkpoint of this run, which wrote some to" in said.err


def test_checkpoints_of_another_run_of_that_name_are_not_taken_up(ostinato: Ostinato, launched: Launched) -> None:
    here, there = (["train", "run.name=mine", f"run.folder={folder}", "checkpoint.url=kept"] for folder in "ab")
    assert ostinato(*here).code == 0
    assert ostinato(*there, "run.seed=7").code == 0, "nothing is there yet that could be taken up"
    save(LocalStore(Path("kept/mine")), make_states(20, 1))
    said = ostinato(*here)
    assert (said.code, len(launched)) == (2, 2)
    assert "the checkpoints there are of run mine, whose result would be another" in said.err
    assert "run.seed = 0: the run has 7" in said.err
    assert ostinato(*there, "run.seed=7", "cluster.workers=2").code == 0
    shutil.rmtree("b")
    assert ostinato(*there, "run.seed=7").code == 0, "the same run, on a machine that has lost its folder"


def test_a_run_that_has_not_trained_a_step_may_still_be_corrected(ostinato: Ostinato, launched: Launched) -> None:
    make_run(Path("runs"), "mine", record={"state": "failed"})
    assert ostinato("train", "run.name=mine", "optim.lr=1e-4").code == 0
    assert RunFolder(Path("runs/mine")).document()["optim"]["lr"] == 1e-4


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("data.url=/nope", 3, "/nope: no index.json there, so no catalogue. Build one"),
        ("data.locales=[xx]", 2, "data.locales: 'xx' is not in"),
    ],
)
def test_data_that_is_not_there(
    ostinato: Ostinato, launched: Launched, override: str, code: int, message: str
) -> None:
    for words in (["--dry-run"], []):
        said = ostinato("train", "run.name=mine", override, *words)
        assert (said.code, message in said.err) == (code, True), said.err
    assert (launched, Path("runs").exists()) == ([], False)


def test_a_run_is_not_renamed_or_moved_by_a_setting(ostinato: Ostinato, launched: Launched) -> None:
    make_run(Path("runs"), "mine")
    said = ostinato("resume", "mine", "run.folder=elsewhere")
    assert (said.code, "run.folder = elsewhere: the run lies in" in said.err) == (2, True)
    said = ostinato("resume", "mine", "run.name=other")
    assert (said.code, launched) == (2, [])
    assert "run.name = other: the run in" in said.err
    assert "is called mine" in said.err
