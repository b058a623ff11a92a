"""Which runs of a study to make next, and what they bring, for FLOPs, hours or dollars."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from planner.errors import RefusedError
from planner.forecasts.next_design import Cost, NextRuns, next_runs, targets_at
from planner.loop.own_speed import OwnSpeed
from planner.loop.study import Study, StudyRun

Array = NDArray[np.float64]
_SECONDS_PER_HOUR = 3600.0


class Unit(StrEnum):
    """What is spent."""

    FLOPS = "flops"
    HOURS = "h"
    USD = "usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What may be spent, and on how many runs of at most how much compute. Hours are those of runs one by one."""

    amount: float
    unit: Unit
    most_flops: float
    most_runs: int
    hourly_usd: float | None = None
    """The price of an hour of one run."""


def best_next(study: Study, spend: Spend, target_flops: float, steps_of: Callable[[float], int]) -> NextRuns:
    """Return the runs that most narrow what is known of the loss and the best size at `target_flops`.

    Hours are told from the runs that the study has made; `steps_of` says how many steps a run of so many tokens has.
    Raises RefusedError where too few runs tell the time, where an hour has no price, or where nothing can be paid.
    """
    return next_runs(
        study.evidence(), targets_at(target_flops), spend=spend.amount, most_flops=spend.most_flops,
        cost=_cost(study, spend, steps_of), most_runs=spend.most_runs,
    )  # fmt: skip


def _cost(study: Study, spend: Spend, steps_of: Callable[[float], int]) -> Cost | None:
    if spend.unit is Unit.FLOPS:
        return None
    if spend.unit is Unit.HOURS:
        return _hours(OwnSpeed(study.runs()), 1.0, steps_of)
    if spend.hourly_usd is None:
        raise RefusedError("--spend in usd: the price of an hour of one run is not known; give --hourly-usd")
    return _hours(OwnSpeed(study.runs()), spend.hourly_usd, steps_of)


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
