"""What is measured of an outcome, each with its exact definition. Pure."""

import numpy as np

from batch.scheduler.arrays import Bools, Floats
from batch.scheduler.fairness import max_min
from batch.simulator.outcome import HOUR_S, Outcome, Spans

CONTENDED = 0.98
"""An hour is contended if the teams together are entitled to more than this part of the chips."""
CONTENDED_HOURS_A_DAY = 18


def entitled_chips(spans: Spans, chips: int) -> Floats:
    """Return each team's max-min share of `chips` over what it wants, equal weights, [spans, teams]."""
    weight = np.ones(spans.demand_chips.shape[1])
    return np.array([max_min(demand, weight, float(chips)) for demand in spans.demand_chips]).reshape(
        spans.demand_chips.shape
    )


def by_hour(spans: Spans, values: Floats) -> Floats:
    """Return sums of `values` [spans, teams] by hour, [hours, teams]."""
    out = np.zeros((int(spans.hour[-1]) + 1 if len(spans.hour) else 0, values.shape[1]))
    np.add.at(out, spans.hour, values)
    return out


def unfairness_by_hour(used: Floats, entitled: Floats) -> Floats:
    """Return half the L1 distance of the teams' parts of used and entitled chip-seconds, [hours]."""
    return np.asarray(0.5 * np.abs(_parts(used) - _parts(entitled)).sum(axis=1))


def contended_hours(entitled: Floats, chips: int) -> Bools:
    """Say which hours are contended; `entitled` is in chip-seconds, [hours, teams]."""
    return np.asarray(entitled.sum(axis=1) > CONTENDED * chips * HOUR_S)


def unfairness(outcome: Outcome) -> tuple[float, float, int]:
    """Return the mean unfairness per contended hour, per day, and the number of contended hours. NaN if there are none.

    The drain after the trace's window counts. A day is 24 hours on end, of which at least 18 are contended.
    """
    spans = outcome.spans
    used = by_hour(spans, spans.used_chip_s)
    entitled = by_hour(spans, entitled_chips(spans, outcome.chips) * spans.length_s[:, None])
    contended = contended_hours(entitled, outcome.chips)
    hourly = unfairness_by_hour(used, entitled)[contended]
    days = len(used) // 24
    used_by_day, entitled_by_day = (a[: days * 24].reshape(days, 24, a.shape[1]).sum(axis=1) for a in (used, entitled))
    busy_days = contended[: days * 24].reshape(days, 24).sum(axis=1) >= CONTENDED_HOURS_A_DAY
    daily = unfairness_by_hour(used_by_day, entitled_by_day)[busy_days]
    return _mean(hourly), _mean(daily), int(contended.sum())


def window_work_chip_s(outcome: Outcome) -> float:
    """Return the chip-seconds that were worked within the trace's window, redone work included."""
    spans = outcome.spans
    return float(spans.used_chip_s[spans.start_s < outcome.trace.window_s].sum())


def completion_s(outcome: Outcome) -> Floats:
    """Return from submission to end, per job."""
    return np.asarray(outcome.finish_s - outcome.trace.submit_s)


def wait_s(outcome: Outcome) -> Floats:
    """Return from submission to the first start, per job."""
    return np.asarray(outcome.first_start_s - outcome.trace.submit_s)


def delay_s(outcome: Outcome) -> Floats:
    """Return by how much later than alone each job ended: waiting before and between runs, restarts, work redone."""
    return np.asarray(completion_s(outcome) - outcome.trace.duration_s)


def _parts(values: Floats) -> Floats:
    return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-9))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
