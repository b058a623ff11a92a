"""The run, optim, engine and cluster sections of a run's configuration. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is run: name, length, batch, seed, and when to look at it."""

    name: str | None = field(
        default=None, metadata={"help": "None: the recipe's name and a hash of what determines the result"}
    )
    folder: str = field(default="runs", metadata={"help": "folder that holds the run folders"})
    steps: int = field(default=1000, metadata={"min": 1, "help": "optimizer steps"})
    global_batch: int = field(default=128, metadata={"min": 1, "help": "samples per optimizer step, over all ranks"})
    micro_batch: int | None = field(
        default=None,
        metadata={"min": 1, "help": "samples per rank and forward pass; None: no gradient accumulation"},
    )
    seed: int = field(default=0, metadata={"min": 0, "max": 2**32 - 1})
    evaluate_every_steps: int | None = field(default=None, metadata={"min": 1, "help": "None: only at the end"})
    record_samples: bool = field(default=False, metadata={"help": "write every step's sample ids to the events"})


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning-rate schedule."""

    kind: Literal["adamw"] = "adamw"
    lr: float = field(default=1e-3, metadata={"min": 0.0})
    betas: tuple[float, float] = field(default=(0.9, 0.98), metadata={"min": 0.0, "max": 0.999999})
    eps: float = field(default=1e-8, metadata={"min": 0.0})
    weight_decay: float = field(
        default=0.1, metadata={"min": 0.0, "help": "for matrices; biases, norms and scalars have none"}
    )
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = field(default=50, metadata={"min": 0})
    decay_steps: int | None = field(default=None, metadata={"min": 1, "help": "None: run.steps"})
    final_lr_fraction: float = field(default=0.02, metadata={"min": 0.0, "max": 1.0})


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """DeepSpeed: what we set by name, and its own JSON passed through untouched."""

    zero_stage: Literal[0, 1, 2, 3] = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_clipping: float = field(default=1.0, metadata={"min": 0.0, "help": "global norm; 0: off"})
    activation_checkpointing: bool = field(
        default=False, metadata={"help": "recompute the blocks that the model offers instead of keeping activations"}
    )
    deepspeed: Mapping[str, Any] = field(
        default_factory=dict, metadata={"help": "merged over the DeepSpeed JSON that we generate"}
    )


@dataclass(frozen=True, kw_only=True)
class RetryBudgets:
    """How often a run may come back, per cause. A preemption never eats the budget of a bug."""

    infrastructure: int = field(default=20, metadata={"min": 0, "help": "workers or nodes that die"})
    preemption: int = field(default=1000, metadata={"min": 0})
    out_of_memory: int = field(default=2, metadata={"min": 0})
    user_code: int = field(default=2, metadata={"min": 0, "help": "exceptions; the same one twice stops at once"})


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Where the workers run."""

    address: str = field(default="local", metadata={"help": "local: start a Ray for this run; else auto or host:port"})
    workers: int = field(default=1, metadata={"min": 1, "help": "ranks; one accelerator each"})
    accelerator: Literal["auto", "cpu", "cuda", "neuron"] = "auto"
    cpus_per_worker: int = field(default=1, metadata={"min": 1, "help": "CPU cores and torch threads of a worker"})
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    code_folders: tuple[str, ...] = field(
        default=(".",), metadata={"help": "put on the workers' import path, for _target_"}
    )
    connect_timeout_s: float = field(default=30.0, metadata={"min": 1.0, "help": "deadline for reaching Ray"})
    start_timeout_s: float = field(default=300.0, metadata={"min": 1.0, "help": "deadline for placing workers"})
    collective_timeout_s: float = field(default=600.0, metadata={"min": 1.0})
    retries: RetryBudgets = field(default_factory=RetryBudgets)
