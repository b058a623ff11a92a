"""Everything a run needs, as one value that crosses process borders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from checkpoint.config import CheckpointConfig
from recipes.config import DataConfig, ModelConfig, RecipeConfig
from trainer.batching import BatchPlan, plan_batch
from trainer.config import ClusterConfig, EngineConfig, OptimConfig, RunConfig


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run. `recipe`, `model` and `data` are only built inside the workers.

    `job` and `lease` are those of a queue: an attempt of an older lease can neither claim nor commit any more.
    """

    name: str
    folder: Path
    checkpoint_url: str
    run: RunConfig
    optim: OptimConfig
    engine: EngineConfig
    cluster: ClusterConfig
    checkpoint: CheckpointConfig
    recipe: RecipeConfig
    model: ModelConfig
    data: DataConfig
    resume_command: str = field(default="")
    job: str = ""
    lease: int = 0

    def batch_plan(self) -> BatchPlan:
        """Return the batch arithmetic. Raises BatchError."""
        return plan_batch(self.run.global_batch, self.run.micro_batch, self.cluster.workers)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a generation recovers from: when the failure was noticed (epoch seconds), and the last step in the log."""

    failed_s: float
    step_reached: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One rank's part in one generation of an attempt.

    `fence` is its number in the store. `snapshots` names the run's snapshots in shared memory, where those of another
    run of the same name, or of this one with other checkpoints, may still lie.
    """

    rank: int
    world_size: int
    generation: int
    fence: int
    snapshots: str
    store_host: str
    store_port: int
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Exit codes: 0 finished, 1 failed, 4 failed for something outside that a person has to change, 75 interrupted and
    resumable (BSD's EX_TEMPFAIL). `reason` begins with what happened, and may go on with a traceback.
    """

    state: str
    exit_code: int
    step: int | None = None
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
