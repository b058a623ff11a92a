"""One door to all policies: a trace, machines, a name."""

from enum import StrEnum

import numpy as np

from batch.errors import BadRequestError, ImpossibleShapeError
from batch.scheduler.policy import PolicyConfig
from batch.simulator.baselines import BASELINES
from batch.simulator.cluster import Cluster
from batch.simulator.job_trace import Trace
from batch.simulator.outcome import Outcome, Physics
from batch.simulator.production import run_production
from batch.simulator.rounds import run_baseline


class PolicyName(StrEnum):
    """The policies that can be simulated: the production policy and what it is compared with."""

    DEFAULT = "default"
    FIFO = "fifo"
    EASY = "easy"
    FAIR = "fair"
    LAS = "las"
    SRTF_ORACLE = "srtf_oracle"


def simulate(
    trace: Trace,
    cluster: Cluster,
    policy: PolicyName = PolicyName.DEFAULT,
    *,
    physics: Physics | None = None,
    config: PolicyConfig | None = None,
) -> Outcome:
    """Return what `policy` does with the trace on `cluster`, from an empty machine until the last job has finished.

    `config` changes the production policy's constants. Raises ImpossibleShapeError for a gang that the cluster cannot
    hold, and BadRequestError for a baseline on nodes: baselines only count chips.
    """
    physics = physics or Physics()
    if policy is PolicyName.DEFAULT:
        return run_production(trace, cluster, physics, config)
    if not cluster.is_counted:
        raise BadRequestError(
            f"policy = {policy} on {cluster.num_nodes} x {cluster.chips_per_node} chips: baselines only count chips; "
            "give the number of chips alone, or simulate the policy default"
        )
    largest = int(np.max(trace.chips))
    if largest > cluster.chips:
        raise ImpossibleShapeError(
            f"a gang of {largest} chips: must be at most {cluster.chips}; simulate more chips or another window"
        )
    return run_baseline(policy, BASELINES[policy](), trace, cluster.chips, physics)
