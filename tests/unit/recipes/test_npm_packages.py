import json
import os
import pickle
from pathlib import Path

import pytest

from recipes.errors import PackagesError
from recipes.npm_packages import PACKAGES, install_packages, packages_for

FAKE_NPM = r"""#!/usr/bin/env python3
import json, os, pathlib, sys, time
with open(os.environ["NPM_CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\n")
if os.environ["NPM_DOES"] == "fail":
    sys.exit("npm error code ENOTFOUND\nnpm error network request to the registry failed")
if os.environ["NPM_DOES"] == "hang":
    time.sleep(60)
for name, version in json.load(open("package.json"))["dependencies"].items():
    folder = pathlib.Path("node_modules", name)
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("package.json").write_text(json.dumps({"version": version}))
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(FAKE_NPM)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NPM_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("NPM_DOES", "install")
    return tmp_path / "calls"


def test_fetches_what_is_missing_once(calls: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    modules = install_packages(tmp_path / "p", packages_for(["noto"]), progress=lines.append)
    assert not (modules / "emoji-datasource-twitter").exists()
    assert "emoji-datasource-google@16.0.0" in lines[0]
    install_packages(tmp_path / "p", packages_for(["noto"]))
    assert calls.read_text().splitlines() == ["install --ignore-scripts --no-audit --no-fund"]
    install_packages(tmp_path / "p", PACKAGES)
    assert json.loads((modules / "emoji-datasource-google/package.json").read_text())["version"] == "16.0.0"
    assert len(calls.read_text().splitlines()) == 2


def test_a_failure_says_what_npm_said_and_calling_again_goes_on(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_DOES", "fail")
    with pytest.raises(PackagesError, match=r"npm error code ENOTFOUND.*Check `npm ping`") as failure:
        install_packages(tmp_path / "p", PACKAGES)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)  # noqa: S301 - our own
    monkeypatch.setenv("NPM_DOES", "install")
    install_packages(tmp_path / "p", PACKAGES)
    assert len(calls.read_text().splitlines()) == 2


def test_there_is_a_deadline(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_DOES", "hang")
    with pytest.raises(PackagesError, match="did not finish within 1 s"):
        install_packages(tmp_path / "p", PACKAGES, timeout_s=1.0)


def test_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackagesError, match="npm is not on the PATH"):
        install_packages(tmp_path / "p", PACKAGES)
