"""A planned run through a real queue: forecast first, trained by an agent, taken in with the loss that it reached."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.state_folder import StateFolder
from planner.forecasts.ledger_entries import Forecast, Outcome, Result
from planner.loop.study import Study
from scripts.embedded import stop_controller
from tests.fixtures_agent import kill_jobs
from tests.fixtures_cli import Ostinato

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SWEEP = (
    "plan", "sweep", "recipe=lm_ladder", "--study", "tiny", "--models", "lm_10k", "--budgets", "2e8",
    "data.locales=[en]", "data.sequence_length=32", "data.heldout_bytes=4000",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("OSTINATO_CONTROLLER", "OSTINATO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path / "home"
    stop_controller(StateFolder(tmp_path / "home"))
    kill_jobs(tmp_path / "home" / "agent")


def test_a_planned_run_is_made_and_taken_in(ostinato: Ostinato, home: Path) -> None:
    planned = ostinato(*SWEEP, "--submit", "--json")
    assert planned.code == 0, planned.err
    [run] = planned.value["runs"]
    waited = ostinato("wait", run["job"], "--timeout", "240s")
    assert waited.code == 0, waited.err
    taken = ostinato("plan", "ingest", "--study", "tiny", "--json").value
    assert (taken["finished"], taken["failed"]) == (1, 0)
    forecast, result = [entry.body for entry in Study(home / "plan" / "tiny").ledger.entries()]
    assert isinstance(forecast, Forecast)
    assert isinstance(result, Result)
    assert (forecast.run, result.run, result.outcome) == (run["run"], run["run"], Outcome.FINISHED)
    metrics = ostinato("show", run["job"], "-o", "json").value["metrics"]
    assert 1.0 < result.measured["loss"] == metrics["heldout/nats_per_byte"] < 6.0
