"""The nodes of a pool, what is free on them, and where a gang fits."""

from collections.abc import Sequence

import numpy as np

from batch.model import Node, Pool, Shape
from batch.scheduler.arrays import Bools, Floats, Ints


class PoolNodes:
    """One pool's nodes as arrays. A node that the pool lost stays, with nothing on it to take, while jobs are on it.

    `sums` has the accelerators and the CPUs of all nodes, `sum_used` what is used of them. What is free is negative on
    a node that was lost under its jobs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.drained = False
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.gpus: Ints = np.zeros(0, dtype=np.int64)
        self.cpus: Ints = np.zeros(0, dtype=np.int64)
        self.free_gpus: Ints = np.zeros(0, dtype=np.int64)
        self.free_cpus: Ints = np.zeros(0, dtype=np.int64)
        self.sums = [0, 0]
        self.sum_used = [0, 0]
        self._kinds: list[Node | None] = []
        self._admits: dict[tuple[str | None, tuple[tuple[str, str], ...]], Bools] = {}
        self._groups: dict[str, Ints] = {}

    def set_pool(self, pool: Pool) -> None:
        """Take the nodes that the pool has now."""
        self.drained = pool.drained
        self.free_gpus -= self.gpus
        self.free_cpus -= self.cpus
        self.gpus[:] = 0
        self.cpus[:] = 0
        self._kinds = [None] * len(self.names)
        for node in pool.nodes:
            number = self._number(node.name)
            self.gpus[number], self.cpus[number] = node.gpus, node.cpus
            self._kinds[number] = node
        self.free_gpus += self.gpus
        self.free_cpus += self.cpus
        self.sums = [int(self.gpus.sum()), int(self.cpus.sum())]
        self._admits.clear()
        self._groups.clear()

    def _number(self, name: str) -> int:
        """Return the node's number; a name never seen becomes a node with nothing on it."""
        number = self.index.get(name)
        if number is None:
            number = self.index[name] = len(self.names)
            self.names.append(name)
            self._kinds.append(None)
            for column in ("gpus", "cpus", "free_gpus", "free_cpus"):
                setattr(self, column, np.append(getattr(self, column), 0))
            self._admits.clear()
            self._groups.clear()
        return number

    def take(self, shape: Shape, nodes: Sequence[str]) -> tuple[int, ...]:
        """Occupy one bundle on each of `nodes`. Returns their numbers."""
        numbers = tuple(self._number(name) for name in nodes)
        for number in numbers:
            self.free_gpus[number] -= shape.gpus
            self.free_cpus[number] -= shape.cpus
        self._use(shape, len(numbers))
        return numbers

    def give(self, shape: Shape, numbers: Sequence[int]) -> None:
        """Free one bundle on each node."""
        for number in numbers:
            self.free_gpus[number] += shape.gpus
            self.free_cpus[number] += shape.cpus
        self._use(shape, -len(numbers))

    def _use(self, shape: Shape, bundles: int) -> None:
        self.sum_used[0] += bundles * shape.gpus
        self.sum_used[1] += bundles * shape.cpus

    def fullness(self, kind: int) -> float:
        """Return the part that is used of one kind: 0 accelerators, 1 CPUs."""
        return self.sum_used[kind] / max(1, self.sums[kind])

    def admits(self, shape: Shape) -> Bools:
        """Say which nodes have the accelerator and the labels that `shape` wants."""
        key = (shape.accelerator, shape.labels)
        mask = self._admits.get(key)
        if mask is None:
            mask = np.array([_admits(node, shape) for node in self._kinds], dtype=np.bool_)
            self._admits[key] = mask
        return mask

    def could_hold(self, shape: Shape) -> bool:
        """Say whether the pool could hold the gang if it were empty."""
        return self.find(shape, self.gpus, self.cpus) is not None

    def find(self, shape: Shape, free_gpus: Ints, free_cpus: Ints, cost: Floats | None = None) -> Ints | None:
        """Return the numbers of nodes for the gang, or None: all bundles or none, each on another node.

        Best fit: nodes on which the least would be left, so that whole nodes stay whole. With `cost` (one per node),
        the cheapest instead. With `shape.same`, all from the group that wins by the same measure.
        """
        fits = (free_gpus >= shape.gpus) & (free_cpus >= shape.cpus) & self.admits(shape)
        candidates = fits.nonzero()[0]
        if len(candidates) < shape.nodes:
            return None
        if len(candidates) > 1:
            keys = (free_cpus[candidates], free_gpus[candidates])
            if shape.gpus == 0:
                # Jobs that want no accelerator keep off the nodes where some are free.
                keys = (free_cpus[candidates], np.minimum(self.gpus, free_gpus)[candidates])
            if cost is not None:
                keys = (*keys, cost[candidates])  # type: ignore[assignment]  # a longer tuple of arrays
            candidates = candidates[np.lexsort(keys)]
        if shape.same is None:
            return candidates[: shape.nodes]
        return self._in_one_group(shape, candidates)

    def _in_one_group(self, shape: Shape, candidates: Ints) -> Ints | None:
        """Return the first `shape.nodes` candidates of the group that completes first, in the candidates' order."""
        groups = self.groups(shape.same or "")
        seen: dict[int, list[int]] = {}
        for number in candidates.tolist():
            group = int(groups[number])
            if group < 0:
                continue
            members = seen.setdefault(group, [])
            members.append(number)
            if len(members) == shape.nodes:
                return np.array(members, dtype=np.int64)
        return None

    def groups(self, label: str) -> Ints:
        """Return for each node the number of its value of topology label `label`, -1 without one."""
        groups = self._groups.get(label)
        if groups is None:
            values: dict[str, int] = {}
            numbers = []
            for node in self._kinds:
                value = dict(node.labels).get(label) if node else None
                numbers.append(-1 if value is None else values.setdefault(value, len(values)))
            groups = self._groups[label] = np.array(numbers, dtype=np.int64)
        return groups


def _admits(node: Node | None, shape: Shape) -> bool:
    if node is None or shape.accelerator not in (None, node.accelerator):
        return False
    return all(label in node.labels for label in shape.labels)
