"""A trace under one of the baselines, on a grid of rounds, with a count of chips and a virtual clock.

Nothing changes between two rounds in which somebody comes, goes or crosses a threshold, so those between are
skipped: the result is that of deciding in every round.
"""

import time
from math import ceil

import numpy as np

from batch.scheduler.arrays import Bools, Floats, Ints
from batch.simulator.baselines import Baseline, Queue, usage_half_life_s
from batch.simulator.job_trace import Trace
from batch.simulator.outcome import Outcome, Physics, SpanLog

_DONE_S = 1e-6


def run_baseline(name: str, baseline: Baseline, trace: Trace, chips: int, physics: Physics) -> Outcome:
    """Return what `baseline` does with the trace until the last job has finished. Every gang must fit into `chips`."""
    began_s = time.perf_counter()
    world = _Rounds(baseline, trace, chips, physics)
    while world.next_arrival < len(trace) or len(world.present):
        world.step()
    return Outcome.of(world, name, trace, chips, time.perf_counter() - began_s)


class _Rounds:
    """The state of one simulation. Arrays are over all jobs of the trace, `present` names those that are there."""

    def __init__(self, baseline: Baseline, trace: Trace, chips: int, physics: Physics) -> None:
        self._baseline, self._trace, self._chips, self._physics = baseline, trace, chips, physics
        count = len(trace)
        self._remaining_s = trace.duration_s.copy()
        self._attained_s = np.zeros(count)
        self._run_start_s = np.zeros(count)
        self._running = np.zeros(count, dtype=np.bool_)
        self._usage_chip_s = np.zeros(len(trace.teams))
        self._now_s = 0.0
        self.first_start_s = np.full(count, np.nan)
        self.finish_s = np.full(count, np.nan)
        self.present: Ints = np.zeros(0, dtype=np.int64)
        self.next_arrival = 0
        self.preemptions = 0
        self.restart_chip_s = 0.0
        self.unsaved_chip_s = 0.0
        self.log = SpanLog(trace.window_s)

    def step(self) -> None:
        """Decide, and let time pass until the next decision that can differ."""
        self._arrive()
        if not len(self.present):
            self._now_s = self._round_at(float(self._trace.submit_s[self.next_arrival]))
            return
        queue = self._queue()
        chosen = self.present[self._baseline.choose(queue)]
        if self._baseline.preempts:
            self._stop_all_but(chosen)
        self._start(chosen[~self._running[chosen]])
        running = self._running[self.present]
        self._pass(queue, running, self._baseline.steady_s(queue, running))

    def _arrive(self) -> None:
        behind = int(np.searchsorted(self._trace.submit_s, self._now_s, side="right"))
        if behind > self.next_arrival:
            self.present = np.concatenate([self.present, np.arange(self.next_arrival, behind)])
            self.next_arrival = behind

    def _queue(self) -> Queue:
        present = self.present
        gang, running = self._trace.chips[present], self._running[present]
        return Queue(
            chips=self._chips,
            free=self._chips - int(gang[running].sum()),
            gang=gang,
            team=self._trace.team[present],
            attained_s=self._attained_s[present],
            remaining_s=self._remaining_s[present],
            running=running,
            usage_chip_s=self._usage_chip_s,
        )

    def _stop_all_but(self, chosen: Ints) -> None:
        kept = np.zeros(len(self._running), dtype=np.bool_)
        kept[chosen] = True
        stopped = self.present[self._running[self.present] & ~kept[self.present]]
        if len(stopped):
            unsaved_s = self._physics.unsaved_s(self._now_s - self._run_start_s[stopped])
            self._remaining_s[stopped] += unsaved_s
            self._running[stopped] = False
            self.unsaved_chip_s += float((unsaved_s * self._trace.chips[stopped]).sum())
            self.preemptions += len(stopped)

    def _start(self, started: Ints) -> None:
        again = started[~np.isnan(self.first_start_s[started])]
        self._remaining_s[again] += self._physics.restart_s
        self.restart_chip_s += float(self._trace.chips[again].sum()) * self._physics.restart_s
        self.first_start_s[started] = np.where(
            np.isnan(self.first_start_s[started]), self._now_s, self.first_start_s[started]
        )
        self._run_start_s[started] = self._now_s
        self._running[started] = True

    def _pass(self, queue: Queue, running: Bools, steady_s: float) -> None:
        rows = self.present[running]
        until_s = self._now_s + self._rounds_s(min(steady_s, self._first_end_s(rows)))
        if self.next_arrival < len(self._trace):
            until_s = min(until_s, self._round_at(float(self._trace.submit_s[self.next_arrival])))
        demand = self._by_team(queue.team, queue.gang.astype(np.float64))
        waiting = len(self.present) - len(rows)
        while self._now_s < until_s:
            length_s = min(until_s - self._now_s, self.log.longest_s(self._now_s, self._physics.round_s))
            self._advance(rows, length_s, waiting, demand)
        self._leave(rows)

    def _advance(self, rows: Ints, length_s: float, waiting: int, demand: Floats) -> None:
        ran_s = np.minimum(self._remaining_s[rows], length_s)
        self._remaining_s[rows] -= ran_s
        self._attained_s[rows] += ran_s
        work = np.asarray(ran_s * self._trace.chips[rows], dtype=np.float64)
        used = self._by_team(self._trace.team[rows], work)
        self.log.add(self._now_s, length_s, waiting, used, demand)
        self._usage_chip_s = self._usage_chip_s * 0.5 ** (length_s / usage_half_life_s()) + used
        self._now_s += length_s
        done = rows[(self._remaining_s[rows] <= _DONE_S) & np.isnan(self.finish_s[rows])]
        if len(done):
            last_s = ran_s[np.isin(rows, done)]
            self.finish_s[done] = self._now_s - length_s + last_s

    def _leave(self, rows: Ints) -> None:
        done = rows[self._remaining_s[rows] <= _DONE_S]
        if len(done):
            self._running[done] = False
            self.present = self.present[np.isnan(self.finish_s[self.present])]

    def _first_end_s(self, rows: Ints) -> float:
        return float(self._remaining_s[rows].min()) if len(rows) else np.inf

    def _rounds_s(self, seconds: float) -> float:
        """Return whole rounds, at least one, that cover `seconds`."""
        if np.isinf(seconds):
            return np.inf
        return max(1, ceil(seconds / self._physics.round_s - 1e-9)) * self._physics.round_s

    def _round_at(self, time_s: float) -> float:
        return ceil(time_s / self._physics.round_s) * self._physics.round_s

    def _by_team(self, team: Ints, values: Floats) -> Floats:
        return np.bincount(team, weights=values, minlength=len(self._usage_chip_s)).astype(np.float64)
