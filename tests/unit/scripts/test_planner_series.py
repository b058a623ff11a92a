"""The series of real runs behind the planner's benchmark, with an agent whose runs follow a law."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_controller import DEADLINE_S, OPERATOR, FakeAgent, Served, serving

from batch.agent.messages import Grant
from batch.client import Client
from batch.state_folder import Address
from planner.forecasts.ledger_entries import Forecast
from scripts.benchmarks.planner_loop import COUNT, INSIDE, MEAN, WITHIN, figures
from scripts.benchmarks.planner_series import FULL, QUICK, RATIO, Pair, Series
from scripts.planning.rungs import sizes


def loss_of(params: float, tokens: float) -> float:
    return 0.5 + 20.0 / params**0.35 + 60.0 / tokens**0.35


class LawfulAgent(threading.Thread):
    """Makes every run that the queue gives it, at once."""

    def __init__(self, served: Served, series: Series) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._agent = FakeAgent(served, cpus=64)
        self._series = series

    def run(self) -> None:
        while not self.over.is_set():
            self._agent.sync(wait_s=0.2)
            for key, status in list(self._agent.attempts.items()):
                if status.ended is None:
                    self._make(self._agent.grants[key])

    def _make(self, grant: Grant) -> None:
        facts = self._facts(self._agent.served.json("GET", f"/v1/jobs/{grant.id}")["name"])
        self._agent.starts(grant)
        loss = loss_of(facts["params"], facts["tokens"])
        self._agent.ends(grant, metrics={"heldout/nats_per_byte": loss}, exit_code=0)

    def _facts(self, run: str) -> dict[str, float]:
        entries = self._series.study.ledger.entries()
        return dict(next(e.body.facts for e in entries if e.body.run == run and isinstance(e.body, Forecast)))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "queue") as found:
        yield found


def test_a_series_goes_on_where_it_was_interrupted(served: Served, tmp_path: Path) -> None:
    series = Series(tmp_path / "bench", "quick", ["data.url=null"])
    agent = LawfulAgent(served, series)
    with Client(Address(served.url, OPERATOR)) as client:
        with pytest.raises(TimeoutError, match=r"runs are not over.*the next call goes on"):
            series.make(QUICK, client, timeout_s=0.0)
        agent.start()
        pairs = series.make(QUICK, client, timeout_s=240.0)
        jobs = len(client.find(limit=1000)["jobs"])
        assert series.make(QUICK, client, timeout_s=240.0) == pairs
        assert len(client.find(limit=1000)["jobs"]) == jobs == 16
    agent.over.set()
    agent.join(DEADLINE_S)
    assert [pair.model for pair in pairs] == ["lm_20k", "lm_30k"]
    assert all(pair.error < 0.1 and pair.low < pair.forecast < pair.high for pair in pairs)


@pytest.mark.parametrize("levels", [FULL, QUICK])
def test_forecasts_reach_ten_times_beyond_evidence_that_carries_them(levels: tuple) -> None:
    for number, level in enumerate(levels):
        earlier = [line for before in levels[: number + 1] for line in before.evidence]
        earlier += [before.target for before in levels[:number]]
        usable = [
            line.flops
            for line in earlier
            for model in line.models * line.seeds
            if line.flops / (6 * sizes()[model]) >= level.least_tokens and line.flops <= level.target.flops / RATIO
        ]
        assert len(usable) >= 12
        assert max(usable) >= 8 * min(usable)
        assert max(usable) == pytest.approx(level.target.flops / RATIO)
        assert set(level.target.models) <= set(sizes())


def test_figures_of_forecasts() -> None:
    close = Pair("lm_1m", 1e6, 1e13, forecast=1.01, low=0.9, high=1.1, loss=1.0)
    far = Pair("lm_1m", 1e6, 1e13, forecast=1.2, low=1.1, high=1.3, loss=1.0)
    found = figures([close, close, close, far])
    assert found[COUNT.name] == 4
    assert found[MEAN.name] == pytest.approx(5.75)
    assert (found[WITHIN.name], found[INSIDE.name]) == (0.75, 0.75)
    lost = Pair("lm_1m", 1e6, 1e13, forecast=1.2, low=1.1, high=1.3, loss=None)
    assert figures([close, lost])[INSIDE.name] == 0.5
