"""What a simulation did, before anything is computed from it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from batch.scheduler.arrays import Floats, Ints
from batch.simulator.job_trace import Trace

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Stretches of time in which nothing changed, in order; none crosses an hour. Rows [spans], [spans, teams].

    `hour` numbers the hours. They follow one another, but an hour that would end on an idle machine ends with the first
    round of work after that.
    `used_chip_s` is what each team's jobs did, `demand_chips` what each team had submitted and not finished, running or
    not, `waiting` how many jobs had no place.
    """

    start_s: Floats
    length_s: Floats
    hour: Ints
    waiting: Ints
    used_chip_s: Floats
    demand_chips: Floats


class SpanLog:
    """Collects spans while a simulation runs; the trace's window ends at the end of one of them."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: list[tuple[float, float, int, int]] = []
        self._used: list[Floats] = []
        self._demand: list[Floats] = []
        self._hour = 0
        self._hour_end_s = HOUR_S

    def longest_s(self, now_s: float, round_s: float) -> float:
        """Return how long a span may be that starts now."""
        longest_s = max(round_s, self._hour_end_s - now_s)
        return min(longest_s, self._window_s - now_s) if now_s < self._window_s else longest_s

    def add(self, start_s: float, length_s: float, waiting: int, used_chip_s: Floats, demand_chips: Floats) -> None:
        """Add the next span, for which `longest_s` was asked. The arrays are kept: they must not change afterwards."""
        self._times.append((start_s, length_s, self._hour, waiting))
        self._used.append(used_chip_s)
        self._demand.append(demand_chips)
        if start_s + length_s >= self._hour_end_s:
            self._hour += 1
            self._hour_end_s = start_s + length_s + HOUR_S

    def spans(self, num_teams: int) -> Spans:
        """Return all of them as columns."""
        times = np.array(self._times, dtype=np.float64).reshape(-1, 4)
        return Spans(
            start_s=times[:, 0],
            length_s=times[:, 1],
            hour=times[:, 2].astype(np.int64),
            waiting=times[:, 3].astype(np.int64),
            used_chip_s=np.array(self._used, dtype=np.float64).reshape(-1, num_teams),
            demand_chips=np.array(self._demand, dtype=np.float64).reshape(-1, num_teams),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy on one trace and `chips` chips: when each job first started and finished, and what was lost.

    `restart_chip_s` went into starting preempted jobs again, `unsaved_chip_s` into redoing what they had not saved.
    `wall_s` is how long the simulation took on this machine.
    """

    policy: str
    trace: Trace
    chips: int
    first_start_s: Floats
    finish_s: Floats
    preemptions: int
    restart_chip_s: float
    unsaved_chip_s: float
    spans: Spans
    wall_s: float

    @classmethod
    def of(cls, tally: "Tally", policy: str, trace: Trace, chips: int, wall_s: float) -> "Outcome":
        """Return what a simulation that is over has kept in `tally`."""
        return cls(
            policy=policy,
            trace=trace,
            chips=chips,
            first_start_s=tally.first_start_s,
            finish_s=tally.finish_s,
            preemptions=tally.preemptions,
            restart_chip_s=tally.restart_chip_s,
            unsaved_chip_s=tally.unsaved_chip_s,
            spans=tally.log.spans(len(trace.teams)),
            wall_s=wall_s,
        )


class Tally(Protocol):
    """What every simulation keeps on its way, with the meaning that it has in Outcome."""

    first_start_s: Floats
    finish_s: Floats
    preemptions: int
    restart_chip_s: float
    unsaved_chip_s: float
    log: SpanLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """What happens to jobs in the simulated world, whatever the policy.

    Decisions fall on a grid of `round_s`. A job that was stopped needs `restart_s` when it starts again. A running job
    saves every `checkpoint_every_s` since its start, and when it is stopped loses what it did after the last save; 0
    means that nothing is ever lost. Where nobody came or left, the production policy looks again every `look_again_s`,
    for what only time brings: patience that runs out, checkpoints.
    """

    round_s: float = 60.0
    restart_s: float = 30.0
    checkpoint_every_s: float = 600.0
    look_again_s: float = 60.0

    def unsaved_s(self, ran_s: Floats) -> Floats:
        """Return how much of a run of `ran_s` seconds is lost when it is stopped now."""
        if self.checkpoint_every_s <= 0:
            return np.zeros_like(ran_s)
        return np.asarray(np.fmod(ran_s, self.checkpoint_every_s))
