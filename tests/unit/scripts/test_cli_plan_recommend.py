"""`ostinato plan recommend`: what it prints, its exit codes, the user's own runs and prices."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_laws import isoflop_runs

from planner.laws.loss_laws import HOFFMANN
from scripts.cli.app import run

SMALL = ["--usd", "2e3", "--deadline", "3d", "--hw", "p5", "--gpus", "16", "--seq", "2048"]


def recommend(*words: str) -> int:
    return run(["plan", "recommend", *words])


@pytest.fixture(scope="module")
def own_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = isoflop_runs(HOFFMANN, np.geomspace(1e18, 1e21, 6))
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    rows = zip(runs.params, runs.tokens, runs.loss, runs.flops, strict=True)
    lines = [",".join(f"{value:.17g}" for value in row) for row in rows]
    path.write_text("\n".join(["N,tokens,loss,flops", *lines, ""]))
    return path


def test_people_see_the_choice_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend(*SMALL, "--infer-tokens", "10B") == 0
    shown = capsys.readouterr().out
    assert "the least loss within the budget and by the deadline" in shown
    for word in ("Besiroglu et al. 2024", "as of 2026-11-09", "Step Law (arXiv:2503.04715)", "Young/Daly",
                 "90 %", "on demand", "measurements on h100-80gb"):  # fmt: skip
        assert word in shown, word
    assert "plans that none other beats in loss, spending and days" in shown
    assert "note: failures: 419 unexpected interruptions" in shown


@pytest.mark.parametrize("words", [["--json"], ["-o", "json"]])
def test_programs_get_json(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert recommend(*SMALL, *words) == 0
    found = json.loads(capsys.readouterr().out)
    choice = found["choice"]
    assert choice["usd"] <= 2000.0
    assert choice["days"] <= 3.0
    assert choice["loss_range"][0] < choice["loss"] < choice["loss_range"][1]
    assert choice["price"]["as_of"] == "2026-11-09"
    assert choice["steps"] * choice["samples_per_step"] * 2048 == choice["tokens"]
    assert {plan["model"] for plan in found["front"]} >= {choice["model"]}
    assert found["is_single_answer"] is True


def test_own_runs_give_the_loss(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--runs", str(own_runs), "--column", "params=N", "--hours", "300", "--hw", "p5", "--gpus", "16"]
    assert recommend(*words, "--seq", "2048", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss_source"].startswith("ensemble over 54 runs, data ")
    assert found["choice"]["device_hours"] <= 300.0
    assert found["why"].startswith("no deadline, so no single answer")


def test_beyond_the_evidence_is_refused_unless_forced(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--runs", str(own_runs), "--column", "params=N", "--usd", "3e6", "--deadline", "60d", "--hw", "p5"]
    words += ["--gpus", "1024", "--arch", "llama3-70b"]
    assert recommend(*words) == 3
    assert "no forecast: " in capsys.readouterr().err
    assert recommend(*words, "--force") == 0
    assert "FORCED beyond the evidence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--hw", "p5"], 2, "no budget: give dollars, device-hours or a deadline"),
        (["--usd", "cheap"], 2, "--usd = cheap: must be a number of dollars"),
        (["--usd", "1e6", "--hw", "abacus"], 2, "there is no such instance or accelerator"),
        (["--usd", "1e6", "--arch", "lama3-8b"], 2, "did you mean"),
        (["--usd", "1e6", "--law", "moore"], 2, "law 'moore': known here: chinchilla"),
        (["--usd", "1", "--hw", "p5", "--gpus", "8", "--arch", "llama3.1-405b"], 4, "makes a step"),
        (["--usd", "1e6", "--hw", "trn2"], 4, "sources conflict"),
        (["--usd", "1e6", "--hw", "p5", "--gpus", "4"], 4, "one has 8 accelerators, 4 may be used"),
    ],
)
def test_what_cannot_be(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend(*words) == code
    assert said in capsys.readouterr().err


def test_own_spot_prices_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("instance,usd_per_hour,as_of,terms\np5.48xlarge,18.5,2026-11-20,spot\n")
    assert recommend(*SMALL, "--machines", str(prices), "--reclaims", "0.1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["choice"]["terms"] == "spot"
    assert found["choice"]["price"]["as_of"] == "2026-11-20"
    assert any(note.startswith("spot: 0.1 reclaims") for note in found["notes"])


def test_pictures_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert recommend(*SMALL, "--plot", str(tmp_path / "pictures"), "--json") == 0
    files = [Path(path) for path in json.loads(capsys.readouterr().out)["pictures"]]
    assert [path.name for path in files] == ["front.png", "price_performance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
