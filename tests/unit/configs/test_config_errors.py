"""Every way in which a configuration can be wrong gives one clear, named, picklable error."""

import pickle
from pathlib import Path

import pytest

from configs.compose import compose, compose_document
from configs.errors import (
    ConfigError,
    ContinueError,
    FileError,
    GroupError,
    InterpolationError,
    MissingValueError,
    OverrideError,
    SchemaError,
)


def refused(kind: type[ConfigError], *overrides: str, folder: Path | None = None) -> str:
    with pytest.raises(kind) as caught:
        compose(overrides, config_dirs=[folder] if folder else [])
    assert type(caught.value) is kind
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own error, to prove that it crosses processes
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)
    return str(caught.value)


def in_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.zero_stage=4", "engine.zero_stage = 4 (command line): must be 0, 1, 2 or 3"),
        ("engine.zero_stage=true", "engine.zero_stage = true (command line): must be 0, 1, 2 or 3"),
        ("run.steps=0", "run.steps = 0 (command line): must be a whole number of at least 1"),
        ("run.steps=1.5", "run.steps = 1.5 (command line): must be a whole number of at least 1"),
        ("run.steps=true", "run.steps = true (command line): must be a whole number of at least 1"),
        (
            "run.steps='3'",
            'run.steps = "3" (command line): must be a whole number of at least 1; it is text now: drop the quotes',
        ),
        ("run.micro_batch=a", 'run.micro_batch = "a" (command line): must be a whole number of at least 1 or null'),
        ("model.dropout=1", "model.dropout = 1 (command line): must be a number from 0.0 to 0.9"),
        ("optim.lr=nan", "optim.lr = NaN (command line): must be a number of at least 0.0"),
        ("engine.precision=bf_16", 'precision = "bf_16" (command line): must be fp32 or bf16; did you mean bf16?'),
        ("engine.activation_checkpointing=1", "engine.activation_checkpointing = 1 (command line): must be true or"),
        ("cluster.address=7", "cluster.address = 7 (command line): must be text"),
        ("data.locales=en", 'data.locales = "en" (command line): must be a list of text; write data.locales=[en]'),
        ("data.locales=[en,3]", "data.locales[1] = 3 (command line): must be text"),
        ("optim.betas=[0.9]", "optim.betas = [0.9] (command line): must be a list of 2 numbers"),
        ("optim=null", 'optim = null (command line): must be adamw; add your own YAML with --config-dir'),
        ("engine.deepspeed=3", "engine.deepspeed = 3 (command line): must be a mapping of keys to values"),
        ("engine.deepspeed.x=inf", "must be text, a finite number, true, false, null, a list or a mapping"),
        ("run={steps: {a: 1}}", 'run.steps = {"a": 1} (command line): must be a whole number of at least 1'),
        ("data=catalogue_text", "data.augment (configs/recipe/catalogue_clip.yaml): is not a key; it belongs"),
        ("recipe.kind=clip", "recipe.kind = \"clip\" (command line): must be catalogue_clip, lm_ladder or custom"),
        ("model._target_=Model", 'model.kind = "clip" (configs/model/clip_ngram.yaml): stands beside model._target_'),
        ("~recipe.kind", "recipe.kind (command line): is missing: must be catalogue_clip, lm_ladder or custom"),
        ("run.name=../up", "run.name = "),
    ],
)  # fmt: skip
def test_wrong_values_name_path_value_source_and_what_is_allowed(override: str, message: str) -> None:
    kind = GroupError if override == "optim=null" else SchemaError
    assert message in refused(kind, override)


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("optim.lrr=1", "optim.lrr (command line): is not a key; did you mean `optim.lr`?"),
        ("modle=clip_bytes", "modle (command line): is not a key; did you mean `model`?"),
        ("lr=1", "did you mean `optim.lr`?"),
        ("run.lr=1", "did you mean `optim.lr`?"),
        ("cluster.retry.preemption=1", "did you mean `cluster.retries`?"),
        ("engine.xyzzy=1", "known here are zero_stage, precision, gradient_clipping"),
        ("optim._target_=torch.optim.SGD", "`_target_` is understood in model, data and recipe.loss"),
    ],
)
def test_unknown_keys_name_the_nearest(override: str, advice: str) -> None:
    assert advice in refused(SchemaError, override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model._target_=Model", 'model._target_ = "Model" (command line): must be a dotted path'),
        ('model._target_="os;system.x"', "must be a dotted path"),
        ("+model._partial_=true", "model._partial_ (command line): is not supported"),
    ],
)
def test_own_targets_are_checked_as_far_as_text_can_be(override: str, message: str) -> None:
    given = [] if "_target_" in override else ["model._target_=a.B"]
    assert message in refused(SchemaError, "model=custom", *given, override)


def test_all_problems_are_told_at_once() -> None:
    text = refused(SchemaError, "optim.lrr=1", "engine.zero_stage=4", "run.steps=0")
    assert len(text.splitlines()) == 3


def test_a_wrong_value_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = in_file(tmp_path, "engine/zero9.yaml", "zero_stage: 9\n")
    text = refused(SchemaError, "engine=zero9", folder=tmp_path)
    assert text == f"engine.zero_stage = 9 ({path}): must be 0, 1, 2 or 3"


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = in_file(tmp_path, "optim/mine.yaml", "warmup: 3\n")
    assert f"optim.warmup ({path}): is not a key; did you mean" in refused(SchemaError, "optim=mine", folder=tmp_path)


def test_an_empty_section_in_a_file(tmp_path: Path) -> None:
    in_file(tmp_path, "recipe/mine.yaml", "# @package _global_\nrecipe:\n  kind: catalogue_clip\nrun:\n")
    assert "run = null" in refused(SchemaError, "recipe=mine", folder=tmp_path)


def test_sections_that_contradict_each_other() -> None:
    text = refused(SchemaError, "run.global_batch=128", "cluster.workers=3")
    assert "run.global_batch = 128" in text
    assert "cluster.workers = 3" in text
    assert "run.micro_batch = 5" in refused(SchemaError, "run.global_batch=128", "run.micro_batch=5")


def test_missing_values_say_what_to_give() -> None:
    text = refused(MissingValueError, "recipe=custom", "model._target_=a.B")
    assert text == "data._target_ (configs/data/custom.yaml): is required; give data._target_=VALUE"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=clip_byte", 'did you mean clip_bytes?'),
        ("engine=xx", "engine = xx (command line): must be zero0, zero1, zero2 or zero3"),
        ("engine={zero_stage: 2}", "an option of a group is a name; set its keys one by one: engine.KEY=VALUE"),
        ("model/tower=x", "there is no such group"),
    ],
)  # fmt: skip
def test_unknown_options_list_what_there_is(override: str, message: str) -> None:
    assert message in refused(GroupError, override)


def test_an_option_that_a_file_asks_for_and_nobody_has(tmp_path: Path) -> None:
    path = in_file(tmp_path, "recipe/mine.yaml", "# @package _global_\ndefaults: [catalogue_clap, _self_]\n")
    text = refused(GroupError, "recipe=mine", folder=tmp_path)
    assert f"recipe = catalogue_clap ({path}): must be catalogue_clip, " in text
    assert "did you mean catalogue_clip?" in text


@pytest.mark.parametrize("override", ["run.steps", "x y=1", "=3", "run.name='a", "run.steps=[1"])
def test_overrides_that_cannot_be_parsed(override: str) -> None:
    text = refused(OverrideError, override)
    assert repr(override) in text
    assert "write KEY=VALUE" in text


@pytest.mark.parametrize("override", ["run.seed=1,2", "run.seed=range(0,3)", "engine=zero1,zero2"])
def test_sweeps_are_refused(override: str) -> None:
    assert "asks for several runs" in refused(OverrideError, override)


def test_hydras_own_settings_are_refused() -> None:
    assert "no effect" in refused(OverrideError, "hydra.run.dir=/tmp")


def test_overrides_that_do_not_fit() -> None:
    assert 'run.steps = {"x": 3} (command line): must be' in refused(SchemaError, "run.steps.x=3")
    assert "Could not delete" in refused(FileError, "~run.nothing")


@pytest.mark.parametrize(
    "override", ["run.steps='${run.stepz}'", "run.steps='${nothing:here}'", "run.steps='${run.steps}'"]
)
def test_interpolations_that_lead_nowhere(override: str) -> None:
    text = refused(InterpolationError, override)
    assert "run.steps (command line): " in text


def test_yaml_that_is_none(tmp_path: Path) -> None:
    path = in_file(tmp_path, "engine/mine.yaml", "zero_stage: 1\n  precision: [\n")
    assert f"{path}, line 2: is not valid YAML" in refused(FileError, "engine=mine", folder=tmp_path)


def test_yaml_that_repeats_a_key(tmp_path: Path) -> None:
    in_file(tmp_path, "engine/mine.yaml", "zero_stage: 1\nzero_stage: 2\n")
    assert "duplicate key" in refused(FileError, "engine=mine", folder=tmp_path)


def test_yaml_that_is_a_list(tmp_path: Path) -> None:
    path = in_file(tmp_path, "engine/mine.yaml", "- zero_stage\n")
    assert f'engine = ["zero_stage"] ({path}): must be a section with' in refused(
        SchemaError, "engine=mine", folder=tmp_path
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "--config-dir" in refused(FileError, folder=tmp_path / "nothing")


@pytest.mark.parametrize("override", ["recipe=custom", "model=clip_bytes", "optim=adamw"])
def test_a_run_that_exists_keeps_its_groups(override: str) -> None:
    with pytest.raises(ContinueError, match="cannot be chosen anew"):
        compose_document(compose([]).document, [override])


@pytest.mark.parametrize("override", ["run.steps.x=3", "~run.nothing"])
def test_overrides_that_do_not_fit_a_kept_configuration(override: str) -> None:
    with pytest.raises((OverrideError, SchemaError), match="run"):
        compose_document(compose([]).document, [override])
