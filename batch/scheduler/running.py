"""The jobs that hold places, as columns."""

from dataclasses import dataclass
from math import inf

import numpy as np

from batch.scheduler.arrays import RANKED_FLOATS, RANKED_INTS, Floats, Ints, Table
from batch.scheduler.bundles import GangBundles
from batch.scheduler.jobs import JobRecord
from batch.scheduler.learner import NUM_BINS, bins_of
from batch.scheduler.policy import PolicyConfig, running_factor
from batch.scheduler.shares import NUM_KINDS

_INTS = (*RANKED_INTS, "uid", "cell", "model", "pool", "counted", "node", "bundle_gpus", "bundle_cpus")
_FLOATS = (*RANKED_FLOATS, "start_s", "base_s", "stay", "saved_s", "limit_s")
_BOOLS = ("stopping", "fixed")
_UNRANKED = ("saved_s", "counted", "limit_s", "fixed")


@dataclass(frozen=True, slots=True)
class Bundles:
    """The bundles of all running jobs: the row of the job, the number of its pool, that of the node in the pool."""

    row: Ints
    pool: Ints
    node: Ints


class Running:
    """Rows of `table` and `records` belong together.

    Of a row, `place` is its domain in `Hosts.places`, `stay` what its index is multiplied by because it runs,
    `saved_s` is -1 without a checkpoint in this attempt, `node` is -1 for a job on several nodes.
    """

    def __init__(self, policy: PolicyConfig) -> None:
        self.table = Table(_INTS, _FLOATS, _BOOLS, _UNRANKED)
        self._policy = policy
        self.records: list[JobRecord] = []
        self._gangs = GangBundles()
        self._bundles: Bundles | None = None

    def add(self, job: JobRecord) -> int:
        """Add a job that was just given a place. Returns its row."""
        placement = job.placement
        assert placement is not None
        profile = job.profile
        row = self.table.append(
            {
                "share": job.share,
                "tier": job.tier.rank,
                "place": placement.pool * NUM_KINDS + profile.kind,
                "due": job.due,
                "count": 1,
                "rate_at": job.cell * NUM_BINS,
                "uid": job.uid,
                "cell": job.cell,
                "model": job.model,
                "pool": placement.pool,
                "counted": job.counted_bin,
                "node": placement.nodes[0] if len(placement.nodes) == 1 else -1,
                "bundle_gpus": profile.shape.gpus,
                "bundle_cpus": profile.shape.cpus,
                "chips": profile.chips,
                "since_s": job.since_s,
                "divisor": profile.divisor,
                "start_s": placement.start_s,
                "base_s": job.attained_s,
                "stay": running_factor(job.preemptions, self._policy),
                "saved_s": -1.0,
                "limit_s": inf if job.time_limit_s is None else job.time_limit_s,
                "stopping": False,
                "fixed": job.due or not job.spec.preemptible,
            }
        )
        self.records.append(job)
        self._bundles = None
        self._gangs.add(placement.pool, placement.nodes)
        return row

    def refresh(self, job: JobRecord) -> None:
        """Take over what a person changed about a placed job."""
        assert job.placement is not None
        self.table.put(job.placement.row, "tier", job.tier.rank)
        self.table.put(job.placement.row, "limit_s", inf if job.time_limit_s is None else job.time_limit_s)

    def drop(self, row: int) -> None:
        """Remove a job that gave its place back."""
        self._bundles = None
        self._gangs.drop(row)
        last = self.table.drop(row)
        moved = self.records.pop()
        if row != last:
            self.records[row] = moved
            assert moved.placement is not None
            moved.placement.row = row

    def bundles(self) -> Bundles:
        """Return all bundles, in no particular order; collected once until a job comes or goes."""
        if self._bundles is None:
            table = self.table
            single = (table["node"] >= 0).nonzero()[0]
            alone = np.stack([single, table["pool"][single], table["node"][single]])
            self._bundles = Bundles(*np.concatenate([alone, self._gangs.columns()], axis=1))
        return self._bundles

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
