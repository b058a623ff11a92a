"""The jobs that hold places, as columns."""

from math import inf

import numpy as np

from batch.scheduler.arrays import Floats, Ints, Table
from batch.scheduler.jobs import JobRecord
from batch.scheduler.learner import bins_of

_COLUMNS = {
    "uid": int,
    "share": int,
    "cell": int,
    "model": int,
    "chips": float,
    "tier": int,
    "pool": int,
    "kind": int,
    "start_s": float,
    "base_s": float,
    "counted": int,
    "preemptions": float,
    "saved_s": float,
    "since_s": float,
    "deadline_s": float,
    "limit_s": float,
    "node": int,
    "bundle_gpus": int,
    "bundle_cpus": int,
    "due": bool,
    "stopping": bool,
    "fixed": bool,
}


class Running:
    """Rows of `table` and `records` belong together.

    `saved_s` is -1 without a checkpoint in this attempt, `node` is -1 for a job on several nodes.
    """

    def __init__(self) -> None:
        self.table = Table(_COLUMNS)
        self.records: list[JobRecord] = []
        self._gangs: dict[int, JobRecord] = {}

    def add(self, job: JobRecord) -> int:
        """Add a job that was just given a place. Returns its row."""
        placement = job.placement
        assert placement is not None
        row = self.table.append(
            {
                "uid": job.uid,
                "share": job.share,
                "cell": job.cell,
                "model": job.model,
                "chips": job.profile.chips,
                "tier": job.tier.rank,
                "pool": placement.pool,
                "kind": job.profile.kind,
                "start_s": placement.start_s,
                "base_s": job.attained_s,
                "counted": job.counted_bin,
                "preemptions": job.preemptions,
                "saved_s": -1.0,
                "since_s": job.since_s,
                "deadline_s": job.deadline_s or 0.0,
                "limit_s": inf if job.time_limit_s is None else job.time_limit_s,
                "node": placement.nodes[0] if len(placement.nodes) == 1 else -1,
                "bundle_gpus": job.profile.shape.gpus,
                "bundle_cpus": job.profile.shape.cpus,
                "due": job.due,
                "fixed": job.due or not job.spec.preemptible,
            }
        )
        self.records.append(job)
        if len(placement.nodes) > 1:
            self._gangs[job.uid] = job
        return row

    def refresh(self, job: JobRecord) -> None:
        """Take over what a person changed about a placed job."""
        assert job.placement is not None
        self.table.put(job.placement.row, "tier", job.tier.rank)
        self.table.put(job.placement.row, "deadline_s", job.deadline_s or 0.0)
        self.table.put(job.placement.row, "limit_s", inf if job.time_limit_s is None else job.time_limit_s)

    def drop(self, row: int) -> None:
        """Remove a job that gave its place back."""
        self._gangs.pop(self.records[row].uid, None)
        last = self.table.drop(row)
        moved = self.records.pop()
        if row != last:
            self.records[row] = moved
            assert moved.placement is not None
            moved.placement.row = row

    def bundles(self, pool: int) -> tuple[Ints, Ints]:
        """Return (row, number of the node) of each bundle in `pool`."""
        single = ((self.table["pool"] == pool) & (self.table["node"] >= 0)).nonzero()[0]
        places = [job.placement for job in self._gangs.values()]
        pairs = [(where.row, node) for where in places if where and where.pool == pool for node in where.nodes]
        gangs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return np.concatenate([single, gangs[:, 0]]), np.concatenate([self.table["node"][single], gangs[:, 1]])

    def all_bundles(self, first_node: Ints) -> tuple[Ints, Ints]:
        """Return (row, number of the node) of each bundle; `first_node` is what each pool's nodes count from."""
        single = (self.table["node"] >= 0).nonzero()[0]
        places = [job.placement for job in self._gangs.values() if job.placement is not None]
        gangs = [where.row for where in places for _ in where.nodes]
        nodes = [first_node[where.pool] + node for where in places for node in where.nodes]
        on_single = self.table["node"][single] + first_node[self.table["pool"][single]]
        return (
            np.concatenate([single, np.array(gangs, dtype=np.int64)]),
            np.concatenate([on_single, np.array(nodes, dtype=np.int64)]),
        )

    def attained_s(self, now_s: float) -> Floats:
        """Return the run time of each job over all its attempts."""
        return self.table["base_s"] + (now_s - self.table["start_s"])

    def newly_entered(self, now_s: float) -> tuple[Ints, Ints, Ints]:
        """Return (class, last counted bin, bin now) of jobs that entered bins, and count those as counted."""
        bins = bins_of(self.attained_s(now_s))
        counted = self.table["counted"]
        rows = bins > counted
        out = (self.table["cell"][rows], counted[rows].copy(), bins[rows])
        counted[rows] = bins[rows]
        return out
