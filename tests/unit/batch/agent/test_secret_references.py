from pathlib import Path

import pytest

from batch.agent.secret_references import resolve
from batch.errors import LaunchError

CANARY = "hunter2-canary"


def test_the_pool_knows_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", CANARY)
    (tmp_path / "key").write_text(f"{CANARY}\n")
    assert resolve({"A": "env:HERE", "B": f"file:{tmp_path / 'key'}"}) == {"A": CANARY, "B": CANARY}


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/no/such/key", CANARY, ""])
def test_a_reference_that_leads_nowhere_is_told_without_what_may_be_a_value(reference: str) -> None:
    with pytest.raises(LaunchError, match="secret A") as error:
        resolve({"A": reference})
    assert CANARY not in str(error.value)
