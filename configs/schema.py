"""The tree of one run's configuration: the packages' own sections, side by side.

No package is handed the whole tree; the command line takes it apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from checkpoint.config import CheckpointConfig
from configs.errors import Problem
from configs.redact import is_credential
from recipes.config import CatalogueConfig, DataConfig, ModelConfig, RecipeConfig
from trainer.batching import plan_batch
from trainer.config import ClusterConfig, EngineConfig, OptimConfig, RunConfig
from trainer.errors import BatchError

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that a user can say about a run, with every default filled in."""

    run: RunConfig = field(default_factory=RunConfig)
    recipe: RecipeConfig
    model: ModelConfig
    data: DataConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)


def contradictions(spec: RunSpec) -> list[Problem]:
    """Return what no single section can see: sections that cannot stand together."""
    problems = []
    if spec.run.name is not None and not _RUN_NAME.fullmatch(spec.run.name):
        problems.append(
            Problem(
                "run.name",
                "must be 1 to 100 letters, digits, dots, dashes and underscores, and not start with a mark: "
                "it names a folder and a prefix of keys",
                shown=spec.run.name,
            )
        )
    try:
        plan_batch(spec.run.global_batch, spec.run.micro_batch, spec.cluster.workers)
    except BatchError as error:
        problems.append(Problem("", str(error)))
    return problems


def doubts(spec: RunSpec) -> list[str]:
    """Return warnings: settings that are legal, and probably not meant."""
    found = []
    decay_steps = spec.optim.decay_steps or spec.run.steps
    if spec.optim.warmup_steps >= decay_steps:
        found.append(
            f"optim.warmup_steps = {spec.optim.warmup_steps}: the warm-up is not over by step {decay_steps}, so that "
            "optim.lr is never reached; make it shorter, or the run longer"
        )
    if spec.checkpoint.every_steps > spec.run.steps:
        found.append(
            f"checkpoint.every_steps = {spec.checkpoint.every_steps}: the run has only {spec.run.steps} steps and is "
            "saved at its end alone"
        )
    for section, options in _storage_options(spec).items():
        kept = [key for key in options if is_credential(key)]
        if kept:
            found.append(
                f"{section}.storage_options: {', '.join(kept)} will lie in the run folder as given; give credentials "
                "through the environment"
            )
    return found


def _storage_options(spec: RunSpec) -> dict[str, Mapping[str, Any]]:
    found = {"checkpoint": spec.checkpoint.storage_options}
    if isinstance(spec.data, CatalogueConfig):
        found["data"] = spec.data.storage_options
    return found
