"""The planner's real runs: language models made through a controller and its agent, the larger ones forecast before.

Each level forecasts runs of its budget from runs of at most a tenth of that. What was forecast and made is found in the
study and the queue of the folder, so a series that was interrupted goes on where it was.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.client import Client
from batch.state_folder import StateFolder, find_controller
from planner.errors import RefusedError
from planner.forecasts.ledger import Head
from planner.forecasts.ledger_entries import Forecast, Outcome, Result
from planner.loop.study import Study
from scripts.cli.planned_job import planned_job
from scripts.embedded import start_controller, stop_controller
from scripts.planning.foretell import Chosen, foretell
from scripts.planning.queue_jobs import collect, submit
from scripts.planning.rungs import Rung, rung

RATIO = 10.0
_SLACK = 1.02
"""Runs are whole steps: their compute lies within a percent of the budget."""
_POLL_S = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """Runs of one budget: these models, each with so many seeds."""

    flops: float
    models: tuple[str, ...]
    seeds: int = 1


@dataclass(frozen=True, slots=True)
class Level:
    """What is run first, then what is forecast from it (and from all before of at most a tenth of the compute)."""

    evidence: tuple[Line, ...]
    target: Line
    least_tokens: float = 0.0
    """Of the runs that are evidence."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A forecast and what came of it. Losses are in nats per byte; `loss` is None for a run that did not finish."""

    model: str
    tokens: float
    flops: float
    forecast: float
    low: float
    high: float
    """Ends of the 80 % interval."""
    loss: float | None

    @property
    def error(self) -> float:
        """The relative error of the forecast; infinite for a run that did not finish."""
        return float("inf") if self.loss is None else abs(self.forecast / self.loss - 1.0)

    @property
    def is_inside(self) -> bool:
        """Whether the loss lies in the 80 % interval."""
        return self.loss is not None and self.low <= self.loss <= self.high


_LEAST_TOKENS = 4e5
"""On shorter runs the loss falls steeper with tokens than on any later ones: exponents of .6 against .2."""
FULL = (
    Level(
        (
            Line(1e11, ("lm_10k", "lm_20k", "lm_30k")),
            Line(3e11, ("lm_10k", "lm_20k", "lm_30k", "lm_50k", "lm_100k")),
            Line(1e12, ("lm_30k", "lm_50k", "lm_100k", "lm_200k")),
        ),
        Line(1e13, ("lm_100k", "lm_200k", "lm_300k", "lm_500k")),
        _LEAST_TOKENS,
    ),
    Level(
        (Line(2e12, ("lm_50k", "lm_100k", "lm_200k", "lm_300k")),),
        Line(2e13, ("lm_100k", "lm_200k", "lm_300k", "lm_500k")),
        _LEAST_TOKENS,
    ),
    Level(
        (Line(3e12, ("lm_50k", "lm_100k", "lm_200k", "lm_300k", "lm_500k")),),
        Line(3e13, ("lm_200k", "lm_300k", "lm_500k", "lm_1m")),
        _LEAST_TOKENS,
    ),
)
"""12 forecasts, 2.7e14 FLOPs: an hour and a half of two idle cores."""
QUICK = (
    Level(
        (
            Line(1e9, ("lm_10k", "lm_20k"), seeds=2),
            Line(3e9, ("lm_10k", "lm_20k"), seeds=2),
            Line(1e10, ("lm_10k", "lm_20k", "lm_30k"), seeds=2),
        ),
        Line(1e11, ("lm_20k", "lm_30k")),
    ),
)
"""Two forecasts, to see the loop work: so short runs say little of any law."""


class Series:
    """One study below `folder`, with a controller and agent of its own. Use it in `running`."""

    def __init__(self, folder: Path, name: str, overrides: Sequence[str]) -> None:
        self._state = StateFolder(folder)
        self._overrides = tuple(overrides)
        self.study = Study(folder / "plan" / name)

    @contextmanager
    def running(self) -> Iterator[Client]:
        """Start controller and agent, or find them; end them afterwards. Runs that go on are adopted the next time."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        start_controller(self._state, port=_free_port())
        try:
            with Client(find_controller({"OSTINATO_HOME": str(self._state.path)})) as client:
                yield client
        finally:
            stop_controller(self._state)

    def make(self, levels: Sequence[Level], client: Client, timeout_s: float) -> list[Pair]:
        """Return each forecast beside its result. Raises RefusedError, and TimeoutError with what still runs."""
        deadline_s = time.monotonic() + timeout_s
        for level in levels:
            rungs = [rung for line in level.evidence for rung in self._rungs(line)]
            submit(client, self.study, foretell(self.study, rungs, Chosen(most_flops=0.0)), _job)
        for level in levels:
            most_flops = _SLACK * level.target.flops / RATIO
            self._wait(client, most_flops, deadline_s)
            chosen = Chosen(most_flops, level.least_tokens)
            foretold = foretell(self.study, self._rungs(level.target), chosen)
            refused = [one.no_loss for one in foretold if one.no_loss is not None]
            if refused:
                raise RefusedError(refused[0])
            submit(client, self.study, foretold, _job)
        self._wait(client, float("inf"), deadline_s)
        return self.pairs(levels)

    def pairs(self, levels: Sequence[Level]) -> list[Pair]:
        """Return what the ledger says of the forecasts of `levels`."""
        targets = {rung.run.run for level in levels for rung in self._rungs(level.target)}
        bodies = [entry.body for entry in self.study.ledger.entries() if entry.body.run in targets]
        results = {body.run: body for body in bodies if isinstance(body, Result)}
        return [_pair(body, results.get(body.run)) for body in bodies if isinstance(body, Forecast)]

    def _rungs(self, line: Line) -> list[Rung]:
        group = f"{line.flops:g}"
        return [
            rung(model, line.flops, seed=seed, group=group, more=self._overrides)
            for model in line.models
            for seed in range(line.seeds)
        ]

    def _wait(self, client: Client, most_flops: float, deadline_s: float) -> None:
        """Return when every run of at most `most_flops` that was submitted is over and taken in."""
        told = ""
        while True:
            collect(client, self.study)
            over = {run.run for run in self.study.runs()}
            forecasts = [e.body for e in self.study.ledger.entries() if isinstance(e.body, Forecast)]
            left = [body.run for body in forecasts if body.facts["flops"] <= most_flops and body.run not in over]
            if not left:
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{len(left)} runs are not over, among them {left[0]}; the next call goes on")
            line = f"{len(over)} runs over, waiting for {len(left)}"
            if line != told:
                print(line, file=sys.stderr, flush=True)
                told = line
            time.sleep(_POLL_S)


def _free_port() -> int:
    # Not the default one: another controller of this machine may take that while this one is down.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _job(rung: Rung, head: Head) -> dict[str, Any]:
    # Nobody else waits in this queue, and to take turns would cost each run a start more.
    return {**planned_job(rung, head), "preemptible": False}


def _pair(forecast: Forecast, result: Result | None) -> Pair:
    predicted = forecast.quantities["loss"]
    low, high = next((low, high) for level, low, high in predicted.intervals if level == 0.8)
    finished = result is not None and result.outcome is Outcome.FINISHED
    return Pair(
        model=forecast.facts["model"], tokens=forecast.facts["tokens"], flops=forecast.facts["flops"],
        forecast=predicted.value, low=low, high=high, loss=result.measured["loss"] if result and finished else None,
    )  # fmt: skip
