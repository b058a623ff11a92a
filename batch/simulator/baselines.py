"""Policies to compare with, each a few lines: which of the jobs that are there run next. Chips are counted, not placed.

| name | order | preempts | knows durations |
|---|---|---|---|
| fifo | submission; nobody passes the first that does not fit | no | no |
| easy | submission; others pass the first if they do not delay it (EASY backfill; Lifka 1995) | no | yes |
| fair | the team that used least lately, then submission | no | no |
| las | jobs under 8 chip-hours of service first, then submission (Tiresias, NSDI 2019) | yes | no |
| srtf_oracle | the shortest remaining time first | yes | yes |
"""

import heapq
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from batch.scheduler.arrays import Bools, Floats, Ints

_LAS_THRESHOLD_CHIP_S = 8 * 3600.0
_FAIR_HALF_LIFE_S = 86400.0
_FAIR_CHARGE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What a policy sees: one row per job that is there, in order of submission.

    `free` chips are idle of `chips`. `remaining_s` may be read by oracles only. `usage_chip_s` is each team's service,
    [teams], halved every day.
    """

    chips: int
    free: int
    gang: Ints
    team: Ints
    attained_s: Floats
    remaining_s: Floats
    running: Bools
    usage_chip_s: Floats


class Baseline(Protocol):
    """Which jobs run next. `preempts`: what is not named stops; otherwise what runs goes on and names are added."""

    preempts: bool

    def choose(self, queue: Queue) -> Ints:
        """Return rows of `queue`: all that run (if it preempts), or those to start. Together they fit."""
        ...

    def steady_s(self, queue: Queue, running: Bools) -> float:
        """Return for how long the choice stays as it is if nobody comes or goes."""
        ...


def usage_half_life_s() -> float:
    """Return the half-life of `Queue.usage_chip_s`."""
    return _FAIR_HALF_LIFE_S


class _Steady:
    """A choice that changes only when jobs come and go."""

    def steady_s(self, queue: Queue, running: Bools) -> float:
        """Return infinity."""
        del queue, running
        return np.inf


class Fifo(_Steady):
    """First come, first served."""

    preempts = False

    def choose(self, queue: Queue) -> Ints:
        """Return the waiting jobs up to the first that does not fit."""
        waiting = np.flatnonzero(~queue.running)
        return waiting[: _prefix(queue.gang[waiting], queue.free)]


class Easy(_Steady):
    """FIFO with EASY backfill, told the durations."""

    preempts = False

    def choose(self, queue: Queue) -> Ints:
        """Return FIFO's jobs and those behind that end before the first blocked one could start, or leave it room."""
        waiting = np.flatnonzero(~queue.running)
        gangs = queue.gang[waiting]
        count = _prefix(gangs, queue.free)
        started, blocked = waiting[:count], waiting[count:]
        free = queue.free - int(gangs[:count].sum())
        if not len(blocked) or free <= 0:
            return started
        busy = np.concatenate([np.flatnonzero(queue.running), started])
        shadow_s, extra = self._reservation(queue, busy, int(queue.gang[blocked[0]]), free)
        more = self._behind(queue, blocked[1:], free, shadow_s, extra)
        return np.concatenate([started, np.array(more, dtype=np.int64)])

    @staticmethod
    def _reservation(queue: Queue, busy: Ints, gang: int, free: int) -> tuple[float, int]:
        """Return when a gang that needs more than `free` can start, and how many chips it leaves free then."""
        by_end = busy[np.argsort(queue.remaining_s[busy])]
        released = np.cumsum(queue.gang[by_end])
        last = min(int(np.searchsorted(released, gang - free)), len(by_end) - 1)
        return float(queue.remaining_s[by_end[last]]), free + int(released[last]) - gang

    @staticmethod
    def _behind(queue: Queue, rows: Ints, free: int, shadow_s: float, extra: int) -> list[int]:
        gangs, remaining_s = queue.gang[rows], queue.remaining_s[rows]
        chosen = []
        for row in rows[(gangs <= free) & ((remaining_s <= shadow_s) | (gangs <= extra))]:
            gang, ends_in_time = int(queue.gang[row]), queue.remaining_s[row] <= shadow_s
            if gang <= free and (ends_in_time or gang <= extra):
                chosen.append(int(row))
                free -= gang
                extra -= 0 if ends_in_time else gang
            if free <= 0:
                break
        return chosen


class Fair(_Steady):
    """The team with the least decayed service first. A start is charged ten minutes at once."""

    preempts = False

    def choose(self, queue: Queue) -> Ints:
        """Return the jobs to start, taken in turn from the team that is charged least."""
        free = queue.free
        waiting = np.flatnonzero(~queue.running & (queue.gang <= free))
        busy = np.bincount(queue.team, weights=queue.gang * queue.running, minlength=len(queue.usage_chip_s))
        charged = queue.usage_chip_s + busy * _FAIR_CHARGE_S
        queues = {int(team): iter(waiting[queue.team[waiting] == team]) for team in np.unique(queue.team[waiting])}
        heap = [(float(charged[team]), team) for team in queues]
        heapq.heapify(heap)
        chosen: list[int] = []
        while heap and free > 0:
            usage, team = heapq.heappop(heap)
            row = next((row for row in queues[team] if queue.gang[row] <= free), None)
            if row is not None:
                chosen.append(int(row))
                free -= int(queue.gang[row])
                heapq.heappush(heap, (usage + float(queue.gang[row]) * _FAIR_CHARGE_S, team))
        return np.array(chosen, dtype=np.int64)


class Las:
    """Least attained service in two levels."""

    preempts = True

    def choose(self, queue: Queue) -> Ints:
        """Return jobs with little service by submission, then the others by submission, all that fit."""
        served = queue.attained_s * queue.gang >= _LAS_THRESHOLD_CHIP_S
        order = np.concatenate([np.flatnonzero(~served), np.flatnonzero(served)])
        return _greedy(order, queue.gang, queue.chips)

    def steady_s(self, queue: Queue, running: Bools) -> float:
        """Return when the next running job gets to the second level."""
        left_s = _LAS_THRESHOLD_CHIP_S / queue.gang - queue.attained_s
        left_s = left_s[running & (left_s > 0)]
        return float(left_s.min()) if len(left_s) else np.inf


class SrtfOracle(_Steady):
    """The shortest remaining time first, told the durations.

    Running jobs only move ahead of waiting ones as time passes, so the choice is steady.
    """

    preempts = True

    def choose(self, queue: Queue) -> Ints:
        """Return the jobs that end soonest, all that fit."""
        return _greedy(np.argsort(queue.remaining_s, kind="stable"), queue.gang, queue.chips)


BASELINES: dict[str, type[Baseline]] = {
    "fifo": Fifo,
    "easy": Easy,
    "fair": Fair,
    "las": Las,
    "srtf_oracle": SrtfOracle,
}


def _prefix(gangs: Ints, free: int) -> int:
    """Return how many of `gangs`, from the first, fit."""
    return int(np.searchsorted(np.cumsum(gangs), free, side="right"))


def _greedy(order: Ints, gang: Ints, chips: int) -> Ints:
    """Return the rows in `order` that fit, each that does not being passed over."""
    gangs = gang[order]
    taken = []
    first = 0
    while first < len(order) and chips > 0:
        count = _prefix(gangs[first:], chips)
        taken.append(order[first : first + count])
        chips -= int(gangs[first : first + count].sum())
        first += count
        fits = np.flatnonzero(gangs[first:] <= chips)
        first += int(fits[0]) if len(fits) else len(order)
    return np.concatenate(taken) if taken else order[:0]
