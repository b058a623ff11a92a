"""Forecasts of rungs from the evidence of a study: loss where it carries one, time and memory from its own runs."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.errors import PlannerError
from planner.forecasts.forecaster import LAW, Forecaster
from planner.forecasts.ledger_entries import Entry, Forecast, Predicted
from planner.loop.own_speed import OwnSpeed
from planner.loop.study import Study, StudyRun, runs_of
from scripts.planning.rungs import Rung

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which runs of a study are evidence for forecasts of the loss."""

    most_flops: float = math.inf
    least_tokens: float = 0.0
    """Runs of fewer have not left the first fall of the loss, which is steeper than any law."""

    def __contains__(self, run: StudyRun) -> bool:
        return run.is_evidence and run.flops <= self.most_flops and run.tokens >= self.least_tokens


ALL = Chosen()


@dataclass(frozen=True, slots=True)
class Foretold:
    """A rung, the forecast of it, and why it says nothing of the loss if it does not."""

    rung: Rung
    forecast: Forecast
    no_loss: str | None

    def value(self, quantity: str) -> float | None:
        """Return a forecast quantity, None where nothing is said of it."""
        predicted = self.forecast.quantities.get(quantity)
        return None if predicted is None else predicted.value


def foretell(
    study: Study,
    rungs: Sequence[Rung],
    chosen: Chosen = ALL,
    *,
    hourly_usd: float | None = None,
    force: bool = False,
) -> list[Foretold]:
    """Return a forecast of each rung, writing nothing: the ledger's where it has one, so that no run speaks of itself.

    Else its loss from the `chosen` runs, time and memory from all runs of at most their compute.
    """
    runs = study.runs()
    evidence = [run for run in runs if run in chosen]
    speed = OwnSpeed([run for run in runs if run.flops <= chosen.most_flops])
    forecaster, refusal = _forecaster(evidence)
    written = _written(study)
    found = []
    for rung in rungs:
        if rung.run.run in written:
            found.append(_as_written(rung, written[rung.run.run]))
            continue
        forecast, no_loss = _of_loss(forecaster, refusal, rung, evidence, force=force)
        quantities = {**forecast.quantities, **speed.predicted(rung.run)}
        if hourly_usd is not None and "time_s" in quantities:
            quantities["cost_usd"] = _scaled(quantities["time_s"], hourly_usd / SECONDS_PER_HOUR)
        facts = {
            **forecast.facts, "params": rung.run.params, "tokens": rung.run.tokens, "flops": rung.run.flops,
            "model": rung.model, "group": rung.run.group, "seed": rung.run.seed,
            "model_flops": rung.model_flops, "overrides": list(rung.overrides),
        }  # fmt: skip
        found.append(Foretold(rung, replace(forecast, quantities=quantities, facts=facts), no_loss))
    return found


def _written(study: Study) -> dict[str, Entry]:
    entries = study.ledger.entries()
    return {entry.body.run: entry for entry in reversed(entries) if isinstance(entry.body, Forecast)}


def _as_written(rung: Rung, entry: Entry) -> Foretold:
    assert isinstance(entry.body, Forecast)
    says_nothing = f"the forecasts of {entry.at:%Y-%m-%d %H:%M} stay as they are, and had none"
    return Foretold(rung, entry.body, None if "loss" in entry.body.quantities else says_nothing)


def _forecaster(evidence: Sequence[StudyRun]) -> tuple[Forecaster | None, str | None]:
    if not evidence:
        return None, "no run is evidence yet"
    try:
        return Forecaster(runs_of(evidence)), None
    except PlannerError as error:
        return None, str(error)


def _of_loss(
    forecaster: Forecaster | None, refusal: str | None, rung: Rung, evidence: Sequence[StudyRun], *, force: bool
) -> tuple[Forecast, str | None]:
    run = rung.run
    if forecaster is not None:
        try:
            return forecaster.forecast(run.params, run.tokens, flops=run.flops, force=force).to_ledger(run.run), None
        except PlannerError as error:
            refusal = str(error)
    return Forecast(run=run.run, law=LAW, inputs_hash=_hash(evidence), quantities={}), refusal


def _hash(evidence: Sequence[StudyRun]) -> str:
    text = json.dumps([[run.run, run.params, run.tokens, run.loss] for run in evidence])
    return hashlib.sha256(text.encode()).hexdigest()


def _scaled(predicted: Predicted, factor: float) -> Predicted:
    intervals = tuple((level, factor * low, factor * high) for level, low, high in predicted.intervals)
    return Predicted(factor * predicted.value, intervals)
