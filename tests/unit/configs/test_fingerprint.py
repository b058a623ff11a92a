"""What makes two configurations the same run, and what may change when a run continues."""

import subprocess
import sys

import pytest

from configs.compose import compose, compose_document
from configs.difference import differences
from configs.errors import ContinueError
from configs.fingerprint import ELASTIC, ELASTIC_DATA, check_continues, default_name, fingerprint, is_elastic
from configs.hints import field_at, known_paths
from configs.schema import RunSpec

BASE = compose(["optim.decay_steps=200"]).document
ELASTIC_CHANGES = [
    "run.name=other",
    "run.folder=elsewhere",
    "run.steps=400",
    "run.micro_batch=16",
    "run.evaluate_every_steps=10",
    "engine.zero_stage=3",
    "engine.activation_checkpointing=true",
    "checkpoint.url=s3://bucket/runs",
    "checkpoint.every_steps=7",
    "cluster.workers=2",
    "cluster.address=auto",
    "cluster.retries.user_code=9",
    "data.cache_folder=/cache",
    "data.storage_options.region=eu",
]
MEANINGFUL_CHANGES = [
    "run.seed=1",
    "run.global_batch=64",
    "optim.lr=1e-4",
    "optim.schedule=linear",
    "optim.decay_steps=300",
    "engine.precision=bf16",
    "engine.gradient_clipping=0",
    "engine.deepspeed.zero_optimization.overlap_comm=false",
    "data.locales=[en]",
    "data.split_seed=1",
    "model.dropout=0.1",
    "recipe.loss._target_=mine.loss",
]


@pytest.mark.parametrize("change", ELASTIC_CHANGES)
def test_elastic_changes_keep_the_fingerprint_and_continue(change: str) -> None:
    changed = compose_document(BASE, [change]).document
    assert changed != BASE
    assert fingerprint(changed) == fingerprint(BASE)
    check_continues(BASE, changed)


@pytest.mark.parametrize("change", MEANINGFUL_CHANGES)
def test_meaningful_changes_give_another_fingerprint_and_do_not_continue(change: str) -> None:
    changed = compose_document(BASE, [change]).document
    assert fingerprint(changed) != fingerprint(BASE)
    with pytest.raises(ContinueError) as caught:
        check_continues(BASE, changed)
    assert any(change.startswith(problem.path.rpartition(".")[0]) for problem in caught.value.problems)
    assert "choose another run.name" in str(caught.value)


def test_other_place_of_the_data_continues_under_the_same_name_and_gets_another_by_default() -> None:
    moved = compose_document(BASE, ["data.url=s3://bucket/catalogue"]).document
    check_continues(BASE, moved)
    assert default_name(moved) != default_name(BASE)


def test_longer_run_under_a_schedule_that_lasts_as_long_says_what_to_add() -> None:
    kept = compose([]).document
    [warning] = check_continues(kept, compose_document(kept, ["run.steps=400"]).document)
    assert "optim.decay_steps=200 goes on at the final value" in warning
    longer = compose_document(kept, ["run.steps=400", "optim.decay_steps=200"]).document
    assert check_continues(kept, longer) == []
    with pytest.raises(ContinueError, match=r"optim\.decay_steps"):
        check_continues(kept, compose_document(kept, ["optim.decay_steps=300"]).document)
    constant = compose(["optim.schedule=constant"]).document
    assert check_continues(constant, compose_document(constant, ["run.steps=400"]).document) == []


def test_arguments_of_own_data_are_never_elastic() -> None:
    own = compose(["data=custom", "data._target_=mine.Data", "data.url=/one"]).document
    with pytest.raises(ContinueError, match=r"data\.url"):
        check_continues(own, compose_document(own, ["data.url=/two"]).document)


def test_every_difference_is_listed() -> None:
    with pytest.raises(ContinueError) as caught:
        check_continues(BASE, compose_document(BASE, ["optim.lr=1", "run.seed=5", "cluster.workers=2"]).document)
    assert [problem.path for problem in caught.value.problems] == ["run.name", "optim.lr", "run.seed"]


def test_elastic_keys_exist() -> None:
    for path in (*ELASTIC, *ELASTIC_DATA):
        assert field_at(RunSpec, path) is not None, path


def test_each_key_is_either_elastic_or_counted() -> None:
    counted = {path for path in known_paths(RunSpec) if not is_elastic(path, BASE)}
    assert {"optim.lr", "run.seed", "model.dropout"} <= counted
    assert not counted & {"cluster", "cluster.workers", "checkpoint.url"}


def test_fingerprint_does_not_depend_on_the_process_or_the_order_of_keys() -> None:
    code = (
        "from configs.compose import compose; from configs.fingerprint import fingerprint; "
        "print(fingerprint(compose([]).document))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    backwards = dict(reversed(list(compose([]).document.items())))
    assert done.stdout.strip() == fingerprint(backwards)


def test_differences_name_paths_and_whether_they_matter() -> None:
    found = differences(BASE, compose_document(BASE, ["optim.lr=1", "cluster.workers=2"]).document)
    assert [(one.path, one.left, one.right, one.elastic) for one in found] == [
        ("cluster.workers", 1, 2, True),
        ("optim.lr", 0.003, 1.0, False),
    ]
    assert differences(BASE, BASE) == []
