"""What a job finds in its environment. Pure."""

from collections.abc import Mapping
from typing import Any

from batch.agent.attempt_folder import checkpoint_path, run_path
from batch.launcher import Lease

_PORTS = range(10_000, 30_000)
"""Where rendezvous ports are drawn from: below the range that systems give out by themselves (from 32,768)."""


def job_environment(
    lease: Lease, rank: int, master_address: str, checkpoint: Mapping[str, Any] | None
) -> dict[str, str]:
    """Return what the process of bundle `rank` gets on top of its node's environment.

    RANK and WORLD_SIZE count processes, one per node; a program that starts more itself (torchrun) numbers its own.
    `checkpoint` is the newest that was reported.
    """
    environment = {
        "OSTINATO_JOB": lease.id,
        "OSTINATO_ATTEMPT": str(lease.attempt),
        "OSTINATO_FENCE": str(lease.fence),
        "OSTINATO_RUN_FOLDER": str(run_path(lease)),
        "OSTINATO_CHECKPOINT_FILE": str(checkpoint_path(lease)),
        "OSTINATO_NODE": lease.nodes[rank],
        "OSTINATO_NODES": ",".join(lease.nodes),
        "OSTINATO_NODE_RANK": str(rank),
        "OSTINATO_NUM_NODES": str(len(lease.nodes)),
        "OSTINATO_GPUS_PER_NODE": str(lease.gpus),
        "OSTINATO_CPUS_PER_NODE": str(lease.cpus),
        "OSTINATO_GRACE_S": f"{lease.grace_s:g}",
        "RANK": str(rank),
        "WORLD_SIZE": str(len(lease.nodes)),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": master_address,
        "MASTER_PORT": str(_PORTS[(lease.uid * 7919 + lease.attempt) % len(_PORTS)]),
        "PYTHONUNBUFFERED": "1",
    }
    if lease.devices:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, lease.devices[rank]))
    if checkpoint is not None:
        environment["OSTINATO_RESUME_FROM"] = str(checkpoint["path"])
    return environment
