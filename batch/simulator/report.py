"""The figures of one simulation, as values."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from batch.scheduler.arrays import Bools, Floats
from batch.simulator.bound import offline_bound_chip_s, simple_bound_chip_s
from batch.simulator.measures import completion_s, delay_s, unfairness, wait_s, window_work_chip_s
from batch.simulator.outcome import HOUR_S, Outcome

SIZES: tuple[tuple[str, int, int], ...] = (
    ("1", 1, 1),
    ("2-4", 2, 4),
    ("5-8", 5, 8),
    ("9-16", 9, 16),
    ("over 16", 17, 1 << 30),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some of the jobs: how many, their completion from submission to end, waits until the first start, and delay.

    Delay is completion less what the job runs alone.
    """

    name: str
    jobs: int
    mean_completion_h: float
    p50_completion_h: float
    p99_completion_h: float
    mean_wait_h: float
    mean_delay_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a policy did with a trace.

    `utilisation` is work within the window over what the offline bound allows (bound.py), `utilisation_simple` over
    the looser bound that ignores when jobs come. `unfairness_hourly` is the mean over contended hours of half the L1
    distance between the teams' shares and their max-min entitlements, `unfairness_daily` over days (measures.py); None
    if no hour, or day, was contended.
    """

    policy: str
    jobs: int
    teams: int
    chips: int
    window_days: float
    overall: Group
    by_size: tuple[Group, ...]
    by_team: tuple[Group, ...]
    gangs_8: Group | None
    gangs_16: Group | None
    utilisation: float
    utilisation_simple: float
    unfairness_hourly: float | None
    unfairness_daily: float | None
    contended_hours: int
    preemptions: int
    lost_chip_h: float
    restart_chip_h: float
    unsaved_chip_h: float
    drained_after_days: float
    wall_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def report_of(outcome: Outcome) -> Report:
    """Return the figures of `outcome`."""
    trace = outcome.trace
    group = _grouper(outcome)
    hourly, daily, hours = unfairness(outcome)
    work = window_work_chip_s(outcome)
    return Report(
        policy=outcome.policy,
        jobs=len(trace),
        teams=len(trace.teams),
        chips=outcome.chips,
        window_days=trace.window_s / 86400.0,
        overall=_present(group("all", np.ones(len(trace), dtype=np.bool_))),
        by_size=tuple(
            found
            for name, least, most in SIZES
            if (found := group(name, (trace.chips >= least) & (trace.chips <= most))) is not None
        ),
        by_team=tuple(_present(group(name, trace.team == number)) for number, name in enumerate(trace.teams)),
        gangs_8=group("8 and more", trace.chips >= 8),
        gangs_16=group("16 and more", trace.chips >= 16),
        utilisation=work / offline_bound_chip_s(trace, outcome.chips),
        utilisation_simple=work / simple_bound_chip_s(trace, outcome.chips),
        unfairness_hourly=_known(hourly),
        unfairness_daily=_known(daily),
        contended_hours=hours,
        preemptions=outcome.preemptions,
        lost_chip_h=(outcome.restart_chip_s + outcome.unsaved_chip_s) / HOUR_S,
        restart_chip_h=outcome.restart_chip_s / HOUR_S,
        unsaved_chip_h=outcome.unsaved_chip_s / HOUR_S,
        drained_after_days=float(outcome.finish_s.max()) / 86400.0,
        wall_s=outcome.wall_s,
    )


def _grouper(outcome: Outcome) -> Callable[[str, Bools], Group | None]:
    completion_h, wait_h, delay_h = (values / HOUR_S for values in _times(outcome))

    def group(name: str, members: Bools) -> Group | None:
        if not members.any():
            return None
        return Group(
            name=name,
            jobs=int(members.sum()),
            mean_completion_h=float(completion_h[members].mean()),
            p50_completion_h=float(np.percentile(completion_h[members], 50)),
            p99_completion_h=float(np.percentile(completion_h[members], 99)),
            mean_wait_h=float(wait_h[members].mean()),
            mean_delay_h=float(delay_h[members].mean()),
        )

    return group


def _times(outcome: Outcome) -> tuple[Floats, Floats, Floats]:
    return completion_s(outcome), wait_s(outcome), delay_s(outcome)


def _present(group: Group | None) -> Group:
    assert group is not None, "every team of a trace has jobs, and a trace has at least one"
    return group


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
