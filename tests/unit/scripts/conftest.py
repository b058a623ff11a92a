"""The command line, called in a folder of its own."""

from pathlib import Path

import pytest
from fixtures_cli import Ostinato, ostinato_in


@pytest.fixture
def ostinato(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ostinato:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OSTINATO_RUNS", raising=False)
    return ostinato_in(capsys)
