"""Which runs of a study to make next, and what they bring: the design of planner.forecasts in what a study pays with."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from planner.errors import RefusedError
from planner.forecasts.next_runs import Cost, NextRuns, next_runs, targets_at
from planner.loop.own_speed import OwnSpeed
from planner.loop.study import Study, StudyRun

Array = NDArray[np.float64]
_SECONDS_PER_HOUR = 3600.0


class Unit(StrEnum):
    """What is spent."""

    FLOPS = "flops"
    HOURS = "h"
    USD = "usd"


def best_next(
    study: Study,
    *,
    spend: float,
    unit: Unit,
    target_flops: float,
    most_flops: float,
    most_runs: int,
    steps_of: Callable[[float], int],
    hourly_usd: float | None = None,
) -> NextRuns:
    """Return the runs that most narrow what is known of the loss and the best size at `target_flops`.

    Hours are those of one run after the other, told from the runs that the study has made; `steps_of` says how many
    steps a run of so many tokens has. Raises RefusedError where too few runs tell the time, where dollars are spent
    and an hour has no price, or where nothing can be paid.
    """
    cost: Cost | None = None
    if unit is not Unit.FLOPS:
        if unit is Unit.USD and hourly_usd is None:
            raise RefusedError("--spend in usd: the price of an hour of one run is not known; give --hourly-usd")
        factor = 1.0 if unit is Unit.HOURS else float(hourly_usd or 0.0)
        cost = _hours(OwnSpeed(study.runs()), factor, steps_of)
    return next_runs(
        study.evidence(), targets_at(target_flops), spend=spend, most_flops=most_flops, cost=cost, most_runs=most_runs
    )


def _hours(speed: OwnSpeed, factor: float, steps_of: Callable[[float], int]) -> Cost:
    def cost(params: Array, tokens: Array, flops: Array) -> Array:
        return np.array([hours(*run) * factor for run in zip(params, tokens, flops, strict=True)])

    def hours(params: float, tokens: float, flops: float) -> float:
        run = StudyRun(run="", params=params, tokens=tokens, flops=flops, steps=steps_of(tokens))
        predicted = speed.predicted(run).get("time_s")
        if predicted is None:
            raise RefusedError("--spend in time or money: too few runs tell how long one takes; spend FLOPs first")
        return predicted.value / _SECONDS_PER_HOUR

    return cost
