"""Composition: groups, precedence, the user's folders, kept configurations, and where values come from."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from checkpoint.config import CheckpointConfig
from configs.compose import compose, compose_document
from configs.convert import from_document
from configs.documents import to_document
from configs.errors import GroupError
from configs.schema import RunSpec
from configs.sources import OUR_FOLDER
from recipes.config import CatalogueDataConfig, ClipModelConfig, TargetConfig
from trainer.config import ClusterConfig, OptimConfig

REQUIRED = {
    "recipe=catalogue_clip_full": ["data.url=/catalogue"],
    "recipe=custom": ["model._target_=mine.Model", "data._target_=mine.Data"],
    "model=custom": ["model._target_=mine.Model"],
    "data=catalogue": ["data.url=s3://bucket/catalogue"],
    "data=catalogue_text": ["recipe=lm_ladder"],
    "data=custom": ["data._target_=mine.Data"],
    "checkpoint=s3": ["checkpoint.url=s3://bucket/runs"],
}
OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in OUR_FOLDER.glob("*/*.yaml"))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_compose_to_the_quickstart() -> None:
    spec = compose([]).spec
    assert spec.recipe.kind == "catalogue_clip"
    assert isinstance(spec.data, CatalogueDataConfig)
    assert spec.data.url is None
    assert (spec.run.steps, spec.run.global_batch, spec.data.texts_per_image) == (200, 128, 4)
    assert spec.run.name is not None
    assert spec.run.name.startswith("catalogue_clip-")


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_survives_the_round_trip(option: str) -> None:
    composed = compose([option, *REQUIRED.get(option, [])])
    assert from_document(RunSpec, composed.document) == composed.spec
    assert to_document(composed.spec) == composed.document


def test_every_option_that_requires_something_is_listed() -> None:
    texts = {option: (OUR_FOLDER / f"{option.replace('=', '/')}.yaml").read_text() for option in OPTIONS}
    assert {option for option, text in texts.items() if "???" in text} <= REQUIRED.keys()


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_engine_options_name_their_stage(stage: int) -> None:
    engine = compose([f"engine=zero{stage}", "engine.precision=bf16"]).spec.engine
    assert (engine.zero_stage, engine.precision) == (stage, "bf16")


def test_command_line_wins_over_recipe() -> None:
    spec = compose(["recipe=catalogue_clip", "model=clip_bytes", "optim.lr=3e-4", "run.steps=7"]).spec
    assert isinstance(spec.model, ClipModelConfig)
    assert spec.model.text_tower == "bytes"
    assert spec.optim.lr == 3e-4
    assert spec.run.steps == 7


def test_keys_that_no_file_mentions_need_no_plus() -> None:
    spec = compose(
        ["cluster.retries.preemption=5", "optim.betas=[0.9,0.95]", "checkpoint.storage_options.region=eu"]
    ).spec
    assert spec.cluster.retries.preemption == 5
    assert spec.optim.betas == (0.9, 0.95)
    assert spec.checkpoint.storage_options == {"region": "eu"}


def test_plus_forms_and_deletions_are_understood() -> None:
    spec = compose(["+optim.eps=1e-6", "++run.seed=3", "~optim.lr"]).spec
    assert (spec.optim.eps, spec.run.seed, spec.optim.lr) == (1e-6, 3, OptimConfig().lr)


def test_whole_numbers_serve_as_numbers() -> None:
    lr = compose(["optim.lr=1"]).spec.optim.lr
    assert (lr, type(lr)) == (1.0, float)


def test_own_targets_stay_text() -> None:
    spec = compose(
        ["recipe=custom", "model._target_=no.such.Module", "model.width=3", "data._target_=no.such.Data",
         "recipe.loss._target_=no.such.loss", "recipe.loss.weight=0.5"]
    ).spec  # fmt: skip
    assert spec.model == TargetConfig(target="no.such.Module", arguments={"width": 3})
    assert spec.recipe.loss == TargetConfig(target="no.such.loss", arguments={"weight": 0.5})


def test_interpolations_see_defaults_that_no_file_mentions(tmp_path: Path) -> None:
    write(tmp_path, "optim/long.yaml", "decay_steps: ${run.steps}\nwarmup_steps: ${checkpoint.keep_last}\n")
    optim = compose(
        ["optim=long", "recipe=custom", *REQUIRED["recipe=custom"], "run.steps=300"], config_dirs=[tmp_path]
    ).spec.optim
    assert (optim.decay_steps, optim.warmup_steps) == (300, CheckpointConfig().keep_last)


def test_users_folder_is_searched_first(tmp_path: Path) -> None:
    write(tmp_path, "engine/zero1.yaml", "zero_stage: 1\nprecision: bf16\n")
    assert compose([], config_dirs=[tmp_path]).spec.engine.precision == "bf16"
    assert compose([]).spec.engine.precision == "fp32"


def test_first_of_several_folders_wins(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, f"{name}/cluster/mine.yaml", f"address: {name}:1\n")
    write(tmp_path, "two/cluster/other.yaml", "address: other:1\n")
    folders = [tmp_path / "one", tmp_path / "two"]
    assert compose(["cluster=mine"], config_dirs=folders).spec.cluster.address == "one:1"
    assert compose(["cluster=other"], config_dirs=folders).spec.cluster.address == "other:1"


def test_users_recipe_builds_on_ours(tmp_path: Path) -> None:
    write(tmp_path, "recipe/mine.yaml", "# @package _global_\ndefaults: [catalogue_clip, _self_]\nrun: {steps: 9}\n")
    spec = compose(["recipe=mine"], config_dirs=[tmp_path]).spec
    assert (spec.run.steps, spec.optim.lr) == (9, 0.003)


def test_users_own_group_is_appended_last(tmp_path: Path) -> None:
    write(tmp_path, "experiment/tiny.yaml", "# @package _global_\nrun:\n  steps: 3\n  global_batch: 8\n")
    spec = compose(["experiment=tiny", "run.steps=4"], config_dirs=[tmp_path]).spec
    assert (spec.run.steps, spec.run.global_batch) == (4, 8)


def test_folder_names_with_spaces_and_quotes(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder, $HOME"
    write(folder, "cluster/mine.yaml", "workers: 2\n")
    assert compose(["cluster=mine"], config_dirs=[folder]).spec.cluster.workers == 2


def test_sources_name_files_and_the_command_line(tmp_path: Path) -> None:
    mine = write(tmp_path, "engine/mine.yaml", "gradient_clipping: 0.5\n")
    sources = compose(["engine=mine", "optim.lr=1e-3", "data.locales=[en]"], config_dirs=[tmp_path]).sources
    assert sources.of("optim.lr") == "command line"
    assert sources.of("data.locales[0]") == "command line"
    assert sources.of("run.steps") == "configs/recipe/catalogue_clip.yaml"
    assert sources.of("model.text_tower") == "configs/model/clip_ngram.yaml"
    assert sources.of("engine.gradient_clipping") == str(mine)
    assert sources.of("engine.precision") is None


def test_kept_configuration_takes_values_and_options() -> None:
    kept = compose(["cluster.workers=2", "engine.precision=bf16"]).document
    spec = compose_document(kept, ["engine=zero3", "run.steps=500", "cluster=ray"]).spec
    assert (spec.engine.zero_stage, spec.engine.precision, spec.run.steps) == (3, "bf16", 500)
    assert spec.cluster.address == "auto"
    assert spec.run.name == kept["run"]["name"]


def test_kept_configuration_unchanged_is_unchanged() -> None:
    kept = compose(["recipe=custom", "model._target_=a.B", "model.x={y: [1, null]}", "data._target_=a.C"]).document
    assert compose_document(kept, []).document == kept


def test_an_older_kept_configuration_gets_the_defaults_of_new_keys() -> None:
    kept = compose([]).document
    del kept["cluster"]["retries"]
    assert compose_document(kept, []).spec.cluster == ClusterConfig()


def test_doubtful_settings_warn() -> None:
    assert compose([]).warnings == ()
    warnings = compose(["run.steps=10"]).warnings
    assert len(warnings) == 2
    assert "optim.warmup_steps = 20" in warnings[0]
    assert "checkpoint.every_steps = 50" in warnings[1]


def test_inside_somebodys_own_hydra_application() -> None:
    with initialize_config_dir(config_dir=str(OUR_FOLDER), version_base="1.3"):
        assert compose(["engine=zero3"]).spec.engine.zero_stage == 3
        with pytest.raises(GroupError):
            compose(["engine=none"])
        assert hydra_compose("engine/zero2").engine.zero_stage == 2
    assert not GlobalHydra.instance().is_initialized()
