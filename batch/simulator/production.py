"""A trace under the production policy: the scheduler's own state and `decide`, driven by events and a virtual clock.

The simulated agents are perfect and prompt: what is placed runs at once, what is asked to stop has stopped, checkpoints
are reported. A stopped job loses what `Physics` says.
"""

import heapq
import time
from math import ceil, inf

import numpy as np

from batch import events
from batch.model import Cause, JobSpec, Shape
from batch.scheduler.actions import Action, Place, Preempt
from batch.scheduler.arrays import Bools, Ints
from batch.scheduler.decision import decide
from batch.scheduler.policy import PolicyConfig
from batch.scheduler.state import SchedulerState
from batch.simulator.cluster import Cluster
from batch.simulator.job_trace import DAY_S, Trace
from batch.simulator.outcome import Outcome, Physics, SpanLog

_MOST_PASSES = 8
"""How often one round may decide again after stopping somebody, so that who waited for that starts in it."""


def run_production(
    trace: Trace,
    cluster: Cluster,
    physics: Physics,
    policy: PolicyConfig | None = None,
    journal: list[events.Event] | None = None,
) -> Outcome:
    """Return what the production policy does with the trace until the last job has finished.

    All events are appended to `journal`; a job's uid is its row in the trace. Raises ImpossibleShapeError for a gang
    that the cluster cannot hold.
    """
    began_s = time.perf_counter()
    world = _World(trace, cluster, physics, SchedulerState(policy or PolicyConfig()), journal)
    while world.goes_on:
        world.step()
    return Outcome.of(world, "default", trace, cluster.chips, time.perf_counter() - began_s)


class _World:
    """Jobs as arrays over the trace (row = uid), what runs, and the scheduler that is told of it."""

    def __init__(
        self,
        trace: Trace,
        cluster: Cluster,
        physics: Physics,
        state: SchedulerState,
        journal: list[events.Event] | None,
    ) -> None:
        self._trace, self._physics, self._state, self._journal = trace, physics, state, journal
        self._epoch_s = max(trace.start_s, DAY_S)  # a scheduler's clock starts at its first event, never at 0
        self._specs = _specs(trace, cluster)
        self._tell(events.PoolSet(time_s=self._epoch_s, pool=cluster.pool()))
        count = len(trace)
        self._remaining_s = trace.duration_s.copy()
        self._run_start_s = np.zeros(count)
        self._told_s = np.zeros(count)
        self._attempt: Ints = np.zeros(count, dtype=np.int64)
        self._running: Bools = np.zeros(count, dtype=np.bool_)
        self._ends: list[tuple[float, int, int]] = []
        self._busy = np.zeros(len(trace.teams))
        self._demand = np.zeros(len(trace.teams))
        self._num_present = self._num_running = self._next_arrival = 0
        self._now_s = self._look_again_s = 0.0
        self._has_news = False
        self.first_start_s = np.full(count, np.nan)
        self.finish_s = np.full(count, np.nan)
        self.preemptions = 0
        self.restart_chip_s = 0.0
        self.unsaved_chip_s = 0.0
        self.log = SpanLog(trace.window_s)

    @property
    def goes_on(self) -> bool:
        """Say whether jobs are to come or have not finished."""
        return self._next_arrival < len(self._trace) or self._num_present > 0

    def step(self) -> None:
        """Take in arrivals, decide if anybody waits, and let time pass until the next round that can differ."""
        self._arrive()
        if self._num_present > self._num_running and (self._has_news or self._now_s >= self._look_again_s):
            self._decide()
            self._has_news = False
            self._look_again_s = self._now_s + self._physics.look_again_s
        next_s = self._next_round_s()
        if self._num_present == 0:
            self._now_s = next_s
        while self._now_s < next_s:
            length_s = min(next_s - self._now_s, self.log.longest_s(self._now_s, self._physics.round_s))
            self._advance(self._now_s + length_s)

    def _arrive(self) -> None:
        trace = self._trace
        while self._next_arrival < len(trace) and trace.submit_s[self._next_arrival] <= self._now_s:
            row = self._next_arrival
            spec = self._specs[int(trace.team[row]), int(trace.chips[row])]
            self._tell(events.JobSubmitted(time_s=self._at(float(trace.submit_s[row])), uid=row, spec=spec))
            self._demand[trace.team[row]] += trace.chips[row]
            self._num_present += 1
            self._next_arrival += 1
            self._has_news = True

    def _decide(self) -> None:
        self._report_checkpoints()
        for _ in range(_MOST_PASSES):
            actions = decide(self._state, self._at(self._now_s), explain=False)
            placed = [action for action in actions if isinstance(action, Place)]
            stopped = [action for action in actions if isinstance(action, Preempt)]
            for action in actions:
                self._record(action)
            for place in placed:
                self._start(place)
            for preempt in stopped:
                self._stop(preempt)
            if not stopped:
                return

    def _record(self, action: Action) -> None:
        """Write what was decided, before anything comes of it."""
        now_s = self._at(self._now_s)
        if isinstance(action, Place):
            self._attempt[action.uid] += 1
            attempt = int(self._attempt[action.uid])
            self._tell(
                events.JobPlaced(
                    time_s=now_s, uid=action.uid, attempt=attempt, fence=attempt, pool=action.pool, nodes=action.nodes
                )
            )
        elif isinstance(action, Preempt):
            self._tell(
                events.JobStopping(
                    time_s=now_s,
                    uid=action.uid,
                    attempt=int(self._attempt[action.uid]),
                    then="queued",
                    reason=action.reason,
                    beneficiary=action.beneficiary,
                )
            )

    def _report_checkpoints(self) -> None:
        """Tell of each running job's newest checkpoint. Only a decision looks, so those between need no telling."""
        every_s = self._physics.checkpoint_every_s
        if every_s <= 0:
            return
        rows = np.flatnonzero(self._running)
        ran_s = self._now_s - self._run_start_s[rows]
        saved_s = self._now_s - self._physics.unsaved_s(ran_s)
        news = (ran_s >= every_s) & (saved_s > self._told_s[rows])
        rows, saved_s = rows[news], saved_s[news]
        self._told_s[rows] = saved_s
        now_s = self._at(self._now_s)
        if self._journal is None:
            self._state.apply_checkpoints(now_s, rows, saved_s + self._epoch_s)
            return
        for row, saved in zip(rows.tolist(), saved_s.tolist(), strict=True):
            attempt = int(self._attempt[row])
            self._tell(events.JobCheckpointed(time_s=now_s, uid=row, attempt=attempt, saved_s=self._at(saved)))

    def _start(self, place: Place) -> None:
        row, trace, attempt = place.uid, self._trace, int(self._attempt[place.uid])
        chips = int(trace.chips[row])
        if np.isnan(self.first_start_s[row]):
            self.first_start_s[row] = self._now_s
        else:
            self._remaining_s[row] += self._physics.restart_s
            self.restart_chip_s += chips * self._physics.restart_s
        self._run_start_s[row] = self._told_s[row] = self._now_s
        self._running[row] = True
        self._num_running += 1
        self._busy[trace.team[row]] += chips
        heapq.heappush(self._ends, (self._now_s + float(self._remaining_s[row]), row, attempt))
        self._tell(events.JobStarted(time_s=self._at(self._now_s), uid=row, attempt=attempt))

    def _stop(self, preempt: Preempt) -> None:
        row, now_s = preempt.uid, self._at(self._now_s)
        attempt = int(self._attempt[row])
        ran_s = self._now_s - self._run_start_s[row]
        unsaved_s = float(self._physics.unsaved_s(np.array(ran_s)))
        self._remaining_s[row] += unsaved_s - ran_s
        self.unsaved_chip_s += unsaved_s * int(self._trace.chips[row])
        self.preemptions += 1
        self._vacate(row)
        self._tell(
            events.JobStopped(
                time_s=now_s, uid=row, attempt=attempt, cause=Cause.PREEMPTION, then="queued", eligible_s=now_s
            )
        )

    def _vacate(self, row: int) -> None:
        self._running[row] = False
        self._num_running -= 1
        self._busy[self._trace.team[row]] -= self._trace.chips[row]

    def _advance(self, until_s: float) -> None:
        """Let time pass in which nobody is placed: some may end."""
        length_s = until_s - self._now_s
        waiting = self._num_present - self._num_running
        used, demand = self._busy * length_s, self._demand.copy()
        while self._ends and self._ends[0][0] <= until_s:
            end_s, row, attempt = heapq.heappop(self._ends)
            if self._running[row] and self._attempt[row] == attempt:
                used[self._trace.team[row]] -= (until_s - end_s) * self._trace.chips[row]
                self._finish(row, end_s)
        self.log.add(self._now_s, length_s, waiting, used, demand)
        self._now_s = until_s

    def _finish(self, row: int, end_s: float) -> None:
        self.finish_s[row] = end_s
        self._vacate(row)
        self._demand[self._trace.team[row]] -= self._trace.chips[row]
        self._num_present -= 1
        self._has_news = True
        attempt = int(self._attempt[row])
        self._tell(events.JobEnded(time_s=self._at(end_s), uid=row, state="succeeded", attempt=attempt))

    def _next_round_s(self) -> float:
        """Return the round of the next arrival or end; while somebody waits, not later than the next look."""
        while self._ends and not self._is_live(self._ends[0]):
            heapq.heappop(self._ends)
        next_s = self._ends[0][0] if self._ends else inf
        if self._next_arrival < len(self._trace):
            next_s = min(next_s, float(self._trace.submit_s[self._next_arrival]))
        if self._num_present > self._num_running:
            next_s = min(next_s, self._look_again_s)
        rounded_s = ceil(next_s / self._physics.round_s) * self._physics.round_s
        return max(rounded_s, self._now_s + self._physics.round_s)

    def _is_live(self, end: tuple[float, int, int]) -> bool:
        _, row, attempt = end
        return bool(self._running[row]) and int(self._attempt[row]) == attempt

    def _at(self, offset_s: float) -> float:
        return self._epoch_s + offset_s

    def _tell(self, event: events.Event) -> None:
        self._state.apply(event)
        if self._journal is not None:
            self._journal.append(event)


def _specs(trace: Trace, cluster: Cluster) -> dict[tuple[int, int], JobSpec]:
    """Return one specification for each team and gang that occur."""
    shapes: dict[int, Shape] = {gang: cluster.shape(gang) for gang in np.unique(trace.chips).tolist()}
    pairs = {(int(team), int(gang)) for team, gang in zip(trace.team, trace.chips, strict=True)}
    return {
        (team, gang): JobSpec(kind="command", payload={}, shape=shapes[gang], team=trace.teams[team])
        for team, gang in sorted(pairs)
    }


