"""`checkpoints ls|show|verify|export`, on checkpoints written by the package itself."""

from pathlib import Path

import pytest
from fixtures_checkpoint import damage, make_states, save
from fixtures_cli import Ostinato, make_run
from safetensors.numpy import load_file

from checkpoint.store_local import LocalStore


@pytest.fixture
def store(ostinato: Ostinato) -> LocalStore:
    folder = make_run(Path("runs"), "mine", overrides=["checkpoint.storage_options.secret_key=s3cr3t"])
    store = LocalStore(folder.path / "checkpoints")
    for step in (10, 20):
        save(store, make_states(step, 2))
    return store


def test_ls_by_run_and_by_folder(ostinato: Ostinato, store: LocalStore) -> None:
    for where in ("mine", "runs/mine", "runs/mine/checkpoints"):
        found = ostinato("checkpoints", "ls", where, "-o", "json").value
        assert [(one["step"], one["damaged"]) for one in found] == [(20, False), (10, False)]
    assert "commit/" in ostinato("checkpoints", "ls", "mine").out


def test_show_names_tensors(ostinato: Ostinato, store: LocalStore) -> None:
    shown = ostinato("checkpoints", "show", "mine", "--step", "10", "-o", "json").value
    assert (shown["step"], shown["world_size"]) == (10, 2)
    assert shown["tensors"]
    assert "10" in ostinato("checkpoints", "show", "mine", "--step", "10").out


def test_verify_reads_every_byte(ostinato: Ostinato, store: LocalStore) -> None:
    assert ostinato("checkpoints", "verify", "mine", "--all").code == 0
    damage(Path("runs/mine/checkpoints"), 10)
    assert ostinato("checkpoints", "verify", "mine").code == 0
    said = ostinato("checkpoints", "verify", "mine", "--step", "10")
    assert (said.code, "DAMAGED in 1 place" in said.out) == (1, True)
    reports = ostinato("checkpoints", "verify", "mine", "--all", "-o", "json").value
    assert [(report["step"], report["whole"]) for report in reports] == [(20, True), (10, False)]


def test_export_writes_weights_and_configuration_without_credentials(ostinato: Ostinato, store: LocalStore) -> None:
    written = ostinato("checkpoints", "export", "mine", "--out", "exported", "-o", "json").value
    assert (written["step"], set(written["files"])) == (
        20,
        {"config.json", "model.safetensors", "resolved_config.yaml"},
    )
    assert load_file("exported/model.safetensors")
    text = Path("exported/resolved_config.yaml").read_text()
    assert "catalogue_clip" in text
    assert "s3cr3t" not in text
    again = ostinato("checkpoints", "export", "mine", "--out", "exported")
    assert (again.code, "choose another folder" in again.err) == (2, True)


def test_steps_that_are_not_there(ostinato: Ostinato, store: LocalStore) -> None:
    said = ostinato("checkpoints", "show", "mine", "--step", "7")
    assert (said.code, "there are: 20, 10" in said.err) == (3, True)
    make_run(Path("runs"), "empty")
    assert ostinato("checkpoints", "verify", "empty").code == 3
    assert "no checkpoints" in ostinato("checkpoints", "ls", "empty").out


def test_options_of_the_store_are_pairs(ostinato: Ostinato, store: LocalStore) -> None:
    said = ostinato("checkpoints", "ls", "mine", "--storage-option", "region")
    assert (said.code, "write KEY=VALUE" in said.err) == (2, True)
