"""`config show|diff` and `data show|build`, as far as they go without npm."""

from pathlib import Path

import pytest
from fixtures_cli import Ostinato, make_run
from omegaconf import OmegaConf

from configs.compose import compose


def test_show_prints_yaml_that_reads_back(ostinato: Ostinato) -> None:
    text = ostinato("config", "show", "engine=zero3").out
    assert OmegaConf.to_container(OmegaConf.create(text)) == compose(["engine=zero3"]).document
    assert ostinato("config", "show", "engine=zero3", "-o", "json").value["engine"]["zero_stage"] == 3


def test_show_of_a_run(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "mine", overrides=["optim.lr=1e-4"])
    shown = ostinato("config", "show", "--run", "mine", "cluster.workers=2", "-o", "json").value
    assert (shown["optim"]["lr"], shown["cluster"]["workers"]) == (1e-4, 2)


def test_diff_of_overrides_and_runs(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "mine", overrides=["optim.lr=1e-4"])
    found = ostinato("config", "diff", "mine", "optim.lr=1e-4 run.name=mine cluster.workers=2", "-o", "json").value
    assert found == [{"path": "cluster.workers", "left": 1, "right": 2, "elastic": True}]
    assert "cluster.workers" in ostinato("config", "diff", "mine", "cluster.workers=2").out
    assert ostinato("config", "diff", "", "").out == "no difference\n"


def test_diff_of_a_run_that_is_not_there(ostinato: Ostinato) -> None:
    assert ostinato("config", "diff", "mine", "optim.lr=1").code == 3


def test_data_show_of_the_sample(ostinato: Ostinato) -> None:
    shown = ostinato("data", "show", "-o", "json").value
    assert shown["entities"] >= 800
    assert len(shown["vendors"]) == 2
    assert len(shown["locales"]) == 16
    assert "twemoji" in ostinato("data", "show").out


def test_data_show_of_nothing(ostinato: Ostinato, tmp_path: Path) -> None:
    assert ostinato("data", "show", str(tmp_path)).code == 3


@pytest.mark.parametrize("option", [["--vendor", "noto"], ["--locale", "en"]])
def test_the_sample_is_fixed(ostinato: Ostinato, option: list[str]) -> None:
    said = ostinato("data", "build", "sample", "--out", "here", *option)
    assert (said.code, "are fixed" in said.err) == (2, True)


def test_packages_that_are_not_there(ostinato: Ostinato, tmp_path: Path) -> None:
    said = ostinato("data", "build", "catalogue", "--out", "here", "--packages", str(tmp_path), "-o", "json")
    assert (said.code, said.error["kind"]) == (4, "PackagesError")
