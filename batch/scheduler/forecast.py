"""When room will be there: from what is learned of how long jobs run, and their time limits."""

from dataclasses import dataclass

import numpy as np

from batch.model import Shape
from batch.scheduler.arrays import Floats, Ints, starts_of
from batch.scheduler.draft import Draft
from batch.scheduler.learner import NUM_BINS, bins_of
from batch.scheduler.profiles import Profile
from batch.scheduler.shares import NUM_KINDS
from batch.scheduler.state import SchedulerState

MEDIAN = 0.5
LATE = 0.9


def remaining_s(state: SchedulerState, now_s: float, quantile: float, rows: Ints | slice) -> Floats:
    """Return in how many seconds each running row will have ended with that probability; 0 if it is stopping."""
    table = state.running.table
    ran_s = now_s - table["start_s"][rows]
    bins = bins_of(table["base_s"][rows] + ran_s)
    learned = state.durations.remaining_s(quantile).ravel()[table["model"][rows] * NUM_BINS + bins]
    limited = np.minimum(learned, np.maximum(0.0, table["limit_s"][rows] - ran_s))
    return np.asarray(np.where(table["stopping"][rows], 0.0, limited))


@dataclass(frozen=True, slots=True)
class _Timeline:
    """The bundles of a pool, node by node (`starts` of each), in the order in which they end.

    `on` is the node of each bundle, `ends_s` in how many seconds it ends, `gpus` and `cpus` what is free by then.
    """

    on: Ints
    ends_s: Floats
    starts: Ints
    gpus: Ints
    cpus: Ints


class Forecast:
    """Expected starts within one decision, if what runs now ends as it should and nobody else takes the room."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._state = draft.state
        self._remaining: dict[float, Floats] = {}
        self._timelines: dict[tuple[int, float], _Timeline] = {}
        self._released: list[float] | None = None

    def released_chips_per_s(self, profile: Profile) -> float:
        """Return at what rate chips on which the profile could run are given back, as what runs there ends."""
        released = self._released = self._releases() if self._released is None else self._released
        hosts = self._state.hosts.pools(profile.number)
        return sum(released[pool * NUM_KINDS + profile.kind] for pool in hosts)

    def _releases(self) -> list[float]:
        """Return the expected chips per second of each pool and kind, [pools * kinds]."""
        table, learner = self._state.running.table, self._state.learner
        bins = bins_of(self._state.running.attained_s(self._draft.now_s))
        chips = table["chips"] * ~table["stopping"] * learner.ends_per_s(table["cell"], bins)
        released: list[float] = np.bincount(table["place"], chips, len(self._state.pools) * NUM_KINDS).tolist()
        return released

    def remaining_s(self, quantile: float) -> Floats:
        """Return `remaining_s` of the running rows, computed once."""
        if quantile not in self._remaining:
            self._remaining[quantile] = remaining_s(self._state, self._draft.now_s, quantile, slice(None))
        return self._remaining[quantile]

    def _remaining_of(self, rows: Ints, quantile: float) -> Floats:
        known = self._remaining.get(quantile)
        return remaining_s(self._state, self._draft.now_s, quantile, rows) if known is None else known[rows]

    def node_ready_s(self, pool: int, shape: Shape, quantile: float, *, held: bool = False) -> Floats:
        """Return in how many seconds each node has room for one bundle; infinite where it never will.

        With `held`, what is held for others counts as free.
        """
        nodes, draft = self._state.pools[pool], self._draft
        gpus, cpus = draft.free_gpus[pool], draft.free_cpus[pool]
        if held:
            gpus, cpus = gpus + draft.held_gpus[pool], cpus + draft.held_cpus[pool]
        ready = np.where((gpus >= shape.gpus) & (cpus >= shape.cpus), 0.0, np.inf)
        line = self._timeline(pool, quantile)
        if len(line.starts):
            freed_gpus, freed_cpus = line.gpus + gpus[line.on], line.cpus + cpus[line.on]
            when = np.where((freed_gpus >= shape.gpus) & (freed_cpus >= shape.cpus), line.ends_s, np.inf)
            busy = line.on[line.starts]
            ready[busy] = np.minimum(ready[busy], np.minimum.reduceat(when, line.starts))
        return np.asarray(np.where(nodes.admits(shape), ready, np.inf))

    def _timeline(self, pool: int, quantile: float) -> "_Timeline":
        if (pool, quantile) not in self._timelines:
            table = self._state.running.table
            bundles = self._state.running.bundles()
            here = (bundles.pool == pool).nonzero()[0]
            rows, on = bundles.row[here], bundles.node[here]
            ends_s = self._remaining_of(rows, quantile)
            order = np.lexsort((ends_s, on))
            rows, on, ends_s = rows[order], on[order], ends_s[order]
            starts = starts_of(on)
            gpus = _sums_by_node(table["bundle_gpus"][rows], starts)
            cpus = _sums_by_node(table["bundle_cpus"][rows], starts)
            self._timelines[pool, quantile] = _Timeline(on, ends_s, starts, gpus, cpus)
        return self._timelines[pool, quantile]

    def gang_start(self, profile: Profile, pool: int, quantile: float, *, held: bool = False) -> tuple[float, Ints]:
        """Return in how many seconds a gang can start in `pool`, and on which nodes; infinite if it never can."""
        shape, nodes = profile.shape, self._state.pools[pool]
        ready = self.node_ready_s(pool, shape, quantile, held=held)
        possible = np.isfinite(ready).nonzero()[0]
        possible = possible[ready[possible].argsort(kind="stable")]
        if shape.same is not None:
            possible = _first_group(nodes.groups(shape.same)[possible], possible, shape.nodes)
        if len(possible) < shape.nodes:
            return float("inf"), possible[:0]
        chosen = possible[: shape.nodes]
        return float(ready[chosen].max(initial=0.0)), chosen

    def earliest(self, profile: Profile, quantile: float) -> tuple[float, int, Ints]:
        """Return (seconds, pool, nodes) of the pool where the gang can start first; pool -1 if none ever could."""
        best: tuple[float, int, Ints] = (float("inf"), -1, np.zeros(0, dtype=np.int64))
        for pool in self._state.hosts.pools(profile.number):
            start_s, nodes = self.gang_start(profile, pool, quantile)
            if start_s < best[0]:
                best = (start_s, pool, nodes)
        return best


def _sums_by_node(values: Ints, starts: Ints) -> Ints:
    """Return running sums that begin anew at each of `starts`."""
    total = values.cumsum()
    lengths = np.empty_like(starts)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1:] = len(values) - starts[-1:]
    base = (total[starts] - values[starts]).repeat(lengths)
    return np.asarray(total - base)


def _first_group(groups: Ints, nodes: Ints, wanted: int) -> Ints:
    """Return the first `wanted` of `nodes` that are in one group, of the group that completes first; else none."""
    seen: dict[int, list[int]] = {}
    for group, node in zip(groups.tolist(), nodes.tolist(), strict=True):
        members = seen.setdefault(group, [])
        members.append(node)
        if group >= 0 and len(members) == wanted:
            return np.array(members, dtype=np.int64)
    return nodes[:0]
