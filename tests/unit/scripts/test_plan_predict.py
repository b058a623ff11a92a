"""`ostinato plan predict` and `plan backtest` as they are called."""

from pathlib import Path

import numpy as np
import pytest
from fixtures_cli import Ostinato


@pytest.fixture
def table(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    flops = np.repeat(10.0 ** np.linspace(17, 21, 5), 7)
    params = np.sqrt(flops / 120.0) * np.tile(2.0 ** np.linspace(-2.2, 2.2, 7), 5)
    tokens = flops / 6.0 / params
    loss = (1.7 + 480.0 / params**0.35 + 2100.0 / tokens**0.37) * np.exp(0.004 * random.standard_normal(35))
    rows = [f"{a},{b},{c}" for a, b, c in zip(params, tokens, loss, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["N,tokens,loss", *rows]))
    return path


def test_predict(table: Path, ostinato: Ostinato) -> None:
    words = ["plan", "predict", str(table), "--column", "params=N", "--params", "10B", "--tokens", "200B"]
    found = ostinato(*words, "--level", "0.9", "--json").value
    (interval,) = found["intervals"]
    assert interval["low"] < found["loss"] < interval["high"]
    assert found["evidence"]["ratio"] == pytest.approx(12.0)
    said = ostinato(*words)
    assert said.code == 0
    assert "approach 3" in said.out


def test_what_is_refused_and_forced(table: Path, ostinato: Ostinato) -> None:
    words = ["plan", "predict", str(table), "--column", "params=N", "--params", "1T", "--tokens", "20T"]
    said = ostinato(*words)
    assert said.code == 3
    assert "times the compute of the largest run" in said.err
    assert "promise nothing" in ostinato(*words, "--force").out
    assert ostinato(*words, "--force", "--level", "90").code == 2


def test_backtest(table: Path, ostinato: Ostinato) -> None:
    words = ["plan", "backtest", str(table), "--column", "params=N"]
    found = ostinato(*words, "--ratios", "10,100", "--json").value
    assert [each["ratio"] for each in found["primary"]] == [10.0, 100.0]
    assert "at the largest run" in ostinato(*words).out
    assert ostinato(*words, "--ratios", "1e9").code == 3
    assert ostinato(*words, "--ratios", "ten").code == 2
