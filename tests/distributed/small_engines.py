"""A small model with everything that makes state hard to save, and DeepSpeed engines around it; for tests."""

import logging
import sys
from dataclasses import dataclass
from typing import Any

import torch


class Awkward(torch.nn.Module):
    """Odd sizes, a frozen layer, a buffer, a scalar parameter, and parameters for two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = torch.nn.Linear(7, 13)
        self.inputs.requires_grad_(False)
        self.hidden = torch.nn.Linear(13, 29)
        self.norm = torch.nn.LayerNorm(29)
        self.scale = torch.nn.Parameter(torch.tensor([1.5]))
        self.outputs = torch.nn.Linear(29, 3, bias=False)
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        hidden = torch.relu(self.norm(self.hidden(torch.relu(self.inputs(x)))))
        return self.outputs(hidden * self.scale)


@dataclass(frozen=True)
class Kind:
    """One of DeepSpeed's ways to keep state."""

    stage: int
    precision: str
    grad_accum_dtype: str | None = None

    def __str__(self) -> str:
        return f"zero{self.stage}-{self.precision}" + ("-accum32" if self.grad_accum_dtype else "")


KINDS = (
    Kind(0, "fp32"),
    Kind(0, "bf16"),
    Kind(1, "fp32"),
    Kind(1, "bf16"),
    Kind(1, "bf16", "fp32"),
    Kind(2, "bf16"),
    Kind(3, "fp32"),
    Kind(3, "bf16"),
)
MICRO_BATCH = 2
GLOBAL_BATCH = 8


def groups_of(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Return two parameter groups with different settings."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": 1e-2, "weight_decay": 0.1},
        {"params": [p for p in trained if p.ndim <= 1], "lr": 3e-3, "weight_decay": 0.0},
    ]


def build(kind: Kind, seed: int, world_size: int) -> Any:
    """Return an engine whose weights are a function of `seed`; GLOBAL_BATCH samples a step."""
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # DeepSpeed compiles a shared-memory operator on CPU machines, which takes minutes and is not needed here.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None
    deepspeed.init_distributed("gloo", dist_init_required=False)
    torch.manual_seed(seed)
    model = Awkward()
    optimizer = torch.optim.AdamW(groups_of(model))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + 0.1 * step))
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": MICRO_BATCH,
        "gradient_accumulation_steps": GLOBAL_BATCH // MICRO_BATCH // world_size,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": kind.precision == "bf16"},
        "zero_optimization": {
            "stage": kind.stage,
            "stage3_param_persistence_threshold": 40,
            "sub_group_size": 200,
        },
        "steps_per_print": 10**9,
    }
    if kind.grad_accum_dtype:
        config["data_types"] = {"grad_accum_dtype": kind.grad_accum_dtype}
    return deepspeed.initialize(model=model, optimizer=optimizer, lr_scheduler=schedule, config=config)[0]


def train(engine: Any, first: int, last: int, rank: int, world_size: int) -> None:
    """Take the optimizer steps `first` to `last` - 1, each on the global batch that belongs to it."""
    per_rank = GLOBAL_BATCH // world_size
    dtype = next(engine.module.parameters()).dtype
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(GLOBAL_BATCH, 7, generator=generator)[rank * per_rank : (rank + 1) * per_rank]
        y = torch.randint(0, 3, (GLOBAL_BATCH,), generator=generator)[rank * per_rank : (rank + 1) * per_rank]
        for start in range(0, per_rank, MICRO_BATCH):
            output = engine(x[start : start + MICRO_BATCH].to(dtype)).float()
            engine.backward(torch.nn.functional.cross_entropy(output, y[start : start + MICRO_BATCH]))
            engine.step()
