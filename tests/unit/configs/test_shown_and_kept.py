"""What leaves the process: YAML that reads back, masked credentials, provenance."""

import json
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from configs.compose import compose
from configs.errors import ConfigError
from configs.provenance import collect, git_state, git_states
from configs.redact import MASK, redacted, redacted_command
from configs.render import to_yaml


@pytest.mark.parametrize("explain", [False, True])
def test_yaml_reads_back_as_the_same_document(explain: bool) -> None:
    document = compose(
        ["optim.eps=1e-05", "data.locales=[no,en]", "engine.deepspeed={a: {b: [1, 'x y']}}", 'run.folder="a: #b"']
    ).document
    assert OmegaConf.to_container(OmegaConf.create(to_yaml(document, explain=explain))) == document


def test_explained_yaml_says_what_keys_mean() -> None:
    text = to_yaml(compose([]).document, explain=True)
    assert "# optimizer steps" in text


def test_credentials_are_masked_everywhere() -> None:
    composed = compose(["checkpoint.storage_options={secret_access_key: s3cr3t, region: eu}"])
    assert "s3cr3t" not in to_yaml(composed.document)
    assert "through the environment" in composed.warnings[0]
    assert "region: eu" in to_yaml(composed.document)
    assert redacted({"a": [{"session_token": "x"}], "tokens_path": None}) == {
        "a": [{"session_token": MASK}],
        "tokens_path": None,
    }
    assert redacted_command(["train", "x.api_key=1=2", "optim.lr=1"]) == ["train", f"x.api_key={MASK}", "optim.lr=1"]


@pytest.mark.parametrize(
    "override",
    [
        "checkpoint.storage_options.secret_key=s3cr3t,",
        "checkpoint.storage_options.secret_key=[s3cr3t",
        "checkpoint={storage_options: 3, secret: s3cr3t}",
        "checkpoint.secret_token=s3cr3t",
        "optim.lr={token: s3cr3t}",
    ],
)
def test_credentials_are_masked_in_errors(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([override])
    assert "s3cr3t" not in str(caught.value)


def test_provenance_is_json_and_holds_no_credentials() -> None:
    document = compose([]).document
    provenance = collect(document, ["ostinato", "train", "checkpoint.storage_options.secret=s3cr3t"])
    assert "s3cr3t" not in json.dumps(provenance)
    assert len(provenance["fingerprint"]) == 64
    assert provenance["packages"]["torch"]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, timeout=240)


def test_git_state_tells_changes_apart(tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "trunk")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    clean = git_state(tmp_path)
    assert (clean["branch"], clean["dirty"], clean["diff_sha256"]) == ("trunk", False, None)
    assert len(clean["commit"]) == 40
    hashes = set()
    for text in ("two", "three"):
        (tmp_path / "file").write_text(text)
        state = git_state(tmp_path)
        assert state["dirty"]
        hashes.add(state["diff_sha256"])
    assert len(hashes) == 2


def test_work_trees_are_named_once_and_other_folders_not_at_all(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "part").mkdir()
    states = git_states([tmp_path, tmp_path / "part", tmp_path / "nothing"])
    assert [state["folder"] for state in states] == [str(tmp_path)]


def test_without_git_nothing_is_known_and_nothing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert collect(compose([]).document, [])["code"] == []
    assert git_state(tmp_path)["commit"] is None
