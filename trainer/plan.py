"""Everything a run needs, as one value that crosses process borders."""

from dataclasses import dataclass, field
from pathlib import Path

from checkpoint.config import CheckpointConfig
from recipes.config import DataConfig, ModelConfig, RecipeConfig
from trainer.batching import BatchPlan, plan_batch
from trainer.config import ClusterConfig, EngineConfig, OptimConfig, RunConfig


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run. `recipe`, `model` and `data` are only built inside the workers."""

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

    def batch_plan(self) -> BatchPlan:
        """Return the batch arithmetic. Raises BatchError."""
        return plan_batch(self.run.global_batch, self.run.micro_batch, self.cluster.workers)
