"""`ostinato plan report`: one page, whatever it is asked about."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fixtures_laws import isoflop_runs

from planner.forecasts import Ledger
from planner.forecasts.ledger_entries import Forecast, Outcome, Predicted, Result
from planner.laws.loss_laws import HOFFMANN
from scripts.cli.app import run

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = isoflop_runs(HOFFMANN, np.geomspace(1e18, 1e21, 6))
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=len(runs)))
    path = tmp_path_factory.mktemp("runs") / "study.csv"
    rows = zip(runs.params, runs.tokens, runs.loss * noise, runs.flops, strict=True)
    lines = [",".join(f"{value:.17g}" for value in row) for row in rows]
    path.write_text("\n".join(["params,tokens,loss,flops", *lines, ""]))
    return path


def titles(page: Path) -> list[str]:
    return re.findall(r"<h2>([^<]*)</h2>", page.read_text())


def test_runs_and_a_ledger(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, page = Ledger(tmp_path / "ledger.jsonl"), tmp_path / "report.html"
    ledger.record_forecast(
        Forecast(run="a", law="ensemble-1", inputs_hash="0", quantities={"loss": Predicted(2.0, ((0.9, 1.9, 2.1),))})
    )
    ledger.record_result(Result(run="a", outcome=Outcome.FINISHED, measured={"loss": 2.02}))
    assert run(["plan", "report", str(table), "--ledger", str(ledger.path), "--out", str(page), "--json"]) == 0
    expected = ["Fits", "Approaches beside each other", "Forecasts", "Backtest", "Forecasts and what came"]
    assert json.loads(capsys.readouterr().out)["sections"] == titles(page) == expected
    text = page.read_text()
    assert "Plan of study" in text
    assert "approach 3 (hoffmann)" in text
    assert "1 of 1 in 90 %" in text
    assert text.count("data:image/svg+xml;base64,") >= 5
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_a_model_on_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    words = ["--arch", "gpt2", "--gpus", "8", "--batch", "64", "--tokens", "1B", "--out", str(page)]
    assert run(["plan", "report", *words]) == 0
    assert "Layouts, Memory, Time, Cost" in capsys.readouterr().out
    assert titles(page) == ["Layouts", "Memory", "Time", "Cost"]
    text = page.read_text()
    assert "2026-11-09" in text
    assert "sources conflict" in text
    assert "measurements on h100-80gb" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to report on: give RUNS"),
        (["--ledger", "/nowhere/ledger"], 2, "there is no such file"),
        (["/nowhere/runs.csv"], 2, "/nowhere/runs.csv"),
        (["--arch", "llama3.1-405b", "--gpus", "8", "--batch", "8"], 4, "memory: the smallest layout lacks"),
        (["--usd", "0.00001", "--deadline", "1d"], 4, "makes a step"),
    ],
)
def test_what_cannot_be_reported(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "report", *words]) == code
    assert said in capsys.readouterr().err
