"""`ostinato plan fit`: what it prints, what it refuses, what it draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_laws import isoflop_runs

from planner.laws.loss_laws import HOFFMANN
from scripts.cli.app import run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = isoflop_runs(HOFFMANN, np.geomspace(1e18, 1e21, 6))
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=len(runs)))
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    rows = zip(runs.params, runs.tokens, runs.loss * noise, runs.flops, strict=True)
    lines = [",".join(f"{value:.17g}" for value in row) for row in rows]
    path.write_text("\n".join(["N,tokens,loss,flops", *lines, ""]))
    return path


def plan_fit(path: Path, *words: str) -> int:
    return run(["plan", "fit", str(path), "--column", "params=N", "--bootstrap", "20", *words])


def test_people_see_parameters_budget_and_disagreement(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_fit(table, "--flops", "1e22", "--outliers", "top:2") == 0
    shown = capsys.readouterr().out
    assert "52 fitted of 54, data " in shown
    assert "left out 2 runs with losses" in shown
    assert "Hoffmann et al. 2022 (arXiv 2203.15556), approach 3" in shown
    for row in ("approach 1", "approach 2", "approach 3 (hoffmann)", "tied"):
        assert f"\n{row}" in shown
    assert "best size for 1e+22 FLOPs, 10 times the largest run" in shown
    assert "approaches 2 and 3" in shown


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_programs_get_json(table: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert plan_fit(table, "--law", "all", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert {fit["law"] for fit in found["fits"]} == {"hoffmann", "tied", "over_training", "kaplan", "error"}
    hoffmann = found["fits"][0]
    assert hoffmann["intervals"]["alpha"][0] < hoffmann["parameters"]["alpha"] < hoffmann["intervals"]["alpha"][1]
    assert {row["by"] for row in found["optima"]} >= {"approach 1", "approach 2", "approach 3 (hoffmann)"}
    assert len(found["data_hash"]) == 12


def test_pictures_are_drawn(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert plan_fit(table, "--plot", str(tmp_path / "pictures"), "--json") == 0
    files = [Path(path) for path in json.loads(capsys.readouterr().out)["pictures"]]
    assert [path.name for path in files] == ["isoflop.png", "contours.png", "frontier.png", "residuals.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--law", "hofmann"], "law 'hofmann': must be one of hoffmann"),
        (["--law", "data_constrained"], "data_constrained needs the columns"),
        (["--outliers", "some"], "must be none or top:K"),
        (["--column", "tokens"], "each must be OURS=THEIRS"),
        (["--flops", "-1"], "flops = -1"),
        (["--level", "90"], "level = 90"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(
    table: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert plan_fit(table, *words) == 2
    assert said in capsys.readouterr().err


def test_bad_runs_end_with_2_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("params,tokens,loss\n1e8,2e9,3.1\n2e8,4e9,-2.9\n4e8,8e9,2.7\n")
    assert run(["plan", "fit", str(path)]) == 2
    assert "bad.csv, row 2: loss = -2.9: must be finite and > 0" in capsys.readouterr().err
