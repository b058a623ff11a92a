"""The two kinds of what is ranked, as columns: what runs, and what may start."""

from dataclasses import dataclass

import numpy as np

from batch.scheduler.arrays import Bools, Floats, Ints
from batch.scheduler.learner import EDGES_S, bins_of
from batch.scheduler.policy import age_factor, deadline_factor, index_of, running_factor
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

_LEAVES_BIN_S = np.concatenate([EDGES_S[1:-1], [np.inf]])
_EARLY_S = 1.0
"""A share is looked at again so long before one of its values can change: more than any rounding of epoch seconds."""


@dataclass(frozen=True, slots=True)
class Side:
    """Columns of one of the two kinds of entries. `index` (1/s) has what age and deadline add."""

    row: Ints
    share: Ints
    chips: Floats
    tier: Ints
    index: Floats
    count: Ints
    since_s: Floats
    due: Bools
    place: Ints

    @classmethod
    def of_running(cls, state: SchedulerState, now_s: float, among: Bools | None) -> "Side":
        """Return what runs and is not stopping, of the shares `among` (None: of all)."""
        table, policy = state.running.table, state.policy
        runs = ~table["stopping"]
        row = (runs if among is None else runs & among[table["share"]]).nonzero()[0]
        cell, chips = table["cell"][row], table["chips"][row]
        attained_s = table["base_s"][row] + (now_s - table["start_s"][row])
        rate = state.learner.rates_of(cell, bins_of(attained_s))
        index = index_of(rate, chips, policy) * running_factor(table["preemptions"][row], policy)
        ones = np.ones(len(row), dtype=np.int64)
        due, since_s = table["due"][row], table["since_s"][row]
        place = table["pool"][row] * NUM_KINDS + table["kind"][row]
        return cls(row, table["share"][row], chips, table["tier"][row], index, ones, since_s, due, place)

    @classmethod
    def of_waiting(
        cls, state: SchedulerState, now_s: float, price: float, room: Floats, among: Bools | None
    ) -> "Side":
        """Return what may start, of the shares `among` (None: of all), within the chips `room` that quotas leave."""
        table, policy = state.roster.waiting.table, state.policy
        ready = table["ready"]
        row = (ready > 0 if among is None else (ready > 0) & among[table["share"]]).nonzero()[0]
        share, chips = table["share"][row], table["chips"][row]
        count = ready[row]
        if state.shares.has_quotas:
            count = np.minimum(count, (room[share] / chips).astype(np.int64))
            some = count.nonzero()[0]
            row, share, chips, count = row[some], share[some], chips[some], count[some]
        rate = state.learner.rates_of(table["cell"][row], table["bin"][row])
        index = index_of(rate, chips, policy)
        waited_s = now_s - table["stop_s"][row]
        old = (waited_s > policy.age_after_s).nonzero()[0]
        if len(old):
            age = age_factor(waited_s[old], policy)
            index[old] = index[old] * (1.0 + age) + price * age
        deadline_s = table["deadline_s"][row]
        some = deadline_s.nonzero()[0]
        if len(some):
            index[some] += price * deadline_factor(deadline_s[some] - now_s, 1.0 / rate[some], policy)
        due, since_s = table["due"][row], table["since_s"][row]
        place = len(state.pools) * NUM_KINDS + table["profile"][row]
        return cls(row, share, chips, table["tier"][row], index, count, since_s, due, place)


def running_until_s(state: SchedulerState, rows: Ints, now_s: float) -> Floats:
    """Return until when the index of each running row stays as it is: it enters another bin of run time then."""
    table = state.running.table
    attained_s = table["base_s"][rows] + (now_s - table["start_s"][rows])
    return np.asarray(now_s - _EARLY_S + (_LEAVES_BIN_S[bins_of(attained_s)] - attained_s))


def waiting_until_s(state: SchedulerState, rows: Ints, now_s: float) -> Floats:
    """Return until when the index of each bucket stays as it is: its first job gets old, or its deadline near then."""
    table, policy = state.roster.waiting.table, state.policy
    until_s = table["stop_s"][rows] + (policy.age_after_s - _EARLY_S)
    deadline_s = table["deadline_s"][rows]
    ahead = (deadline_s > now_s).nonzero()[0]
    if len(ahead):
        rate = state.learner.rates_of(table["cell"][rows[ahead]], table["bin"][rows[ahead]])
        near_s = np.maximum(1.0, 1.0 / rate) * (1.0 + policy.deadline_margin) + _EARLY_S
        until_s[ahead] = np.minimum(until_s[ahead], deadline_s[ahead] - near_s)
    return np.asarray(until_s)
