"""DeepSpeed as an Engine. The only file of the trainer that imports it."""

import importlib
import logging
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import deepspeed
import torch
from torch.utils.checkpoint import checkpoint

from checkpoint.adapter_deepspeed import DeepSpeedAdapter
from recipes.protocol import Batch
from trainer.batching import BatchPlan
from trainer.config import EngineConfig, OptimConfig
from trainer.device import Device
from trainer.engine import EngineSpec
from trainer.errors import EngineError

_NEVER = 10**9


def join_deepspeed(device: Device) -> None:
    """Make DeepSpeed use the default process group, which must exist. Once per process."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # DeepSpeed's CPU accelerator would compile a shared-memory op here: 95 s, only used by inference, and it can
    # hang on a dead peer. The attribute `torch` of deepspeed.comm is the real torch, hence sys.modules.
    sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    deepspeed.init_distributed(dist_backend=device.backend, dist_init_required=False, verbose=False)


def _import_muon_uncompiled() -> None:
    """Import DeepSpeed's Muon without compiling it: `initialize` imports it whatever the optimizer is, and its
    module-level `@torch.compile` loads inductor, which is half of the time to the first step of a new process.
    """
    compiled, torch.compile = torch.compile, lambda function: function  # type: ignore[assignment]
    try:
        importlib.import_module("deepspeed.runtime.zero.muon.original_muon")
    finally:
        torch.compile = compiled


class DeepSpeedEngine:
    """A DeepSpeed engine behind the Engine protocol; ZeRO 0 to 3, fp32 and bf16."""

    def __init__(self, spec: EngineSpec) -> None:
        self._device = spec.device
        self._accumulation = spec.batch.accumulation
        self._micro_batches_done = 0
        # A scheduler in DeepSpeed's JSON owns the learning rate; otherwise it is a function of the step.
        self._owns_learning_rate = "scheduler" not in spec.config.deepspeed
        model = _move(spec.model, spec.device)
        if spec.config.activation_checkpointing:
            _recompute_blocks(model)
        self._engine = _initialize(model, spec)
        self.adapter = DeepSpeedAdapter(self._engine)

    def forward(self, batch: Batch) -> Any:
        """See Engine."""
        return self._engine(self._device.to(dict(batch)))

    def backward(self, loss: torch.Tensor) -> None:
        """See Engine."""
        self._engine.backward(loss)
        self._micro_batches_done += 1
        if self._micro_batches_done < self._accumulation:
            self._engine.step()  # only counts the micro-batch: not yet an accumulation boundary

    def step(self, learning_rate: float) -> float | None:
        """See Engine."""
        if self._micro_batches_done != self._accumulation:
            raise EngineError(
                f"{self._micro_batches_done} losses were given in this step: the recipe's losses() must yield one "
                f"for each of the {self._accumulation} micro-batches"
            )
        self._micro_batches_done = 0
        if self._owns_learning_rate:
            for group in self._engine.optimizer.param_groups:
                group["lr"] = learning_rate
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return None if norm is None else float(norm)

    def set_training(self, *, training: bool) -> None:
        """See Engine."""
        self._engine.train(training)


def deepspeed_json(optim: OptimConfig, config: EngineConfig, batch: BatchPlan) -> dict[str, Any]:
    """Return the DeepSpeed configuration: what our sections mean, with `engine.deepspeed` merged over it."""
    generated: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": batch.micro_batch,
        "gradient_accumulation_steps": batch.accumulation,
        "gradient_clipping": config.gradient_clipping,
        "bf16": {"enabled": config.precision == "bf16"},
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": _NEVER,
    }
    return _merge(generated, config.deepspeed)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _initialize(model: torch.nn.Module, spec: EngineSpec) -> Any:
    settings = deepspeed_json(spec.optim, spec.config, spec.batch)
    groups = parameter_groups(model, spec.optim)
    optimizer = None
    if "optimizer" not in spec.config.deepspeed:
        _import_muon_uncompiled()
        optimizer = torch.optim.AdamW(groups, lr=spec.optim.lr, betas=spec.optim.betas, eps=spec.optim.eps)
    try:
        engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            model_parameters=groups if optimizer is None else None,
            config=settings,
            dist_init_required=False,
        )
    except (ValueError, TypeError, AssertionError, deepspeed.DeepSpeedConfigError) as error:
        raise EngineError(f"DeepSpeed {deepspeed.__version__} refuses its configuration {settings}: {error}") from error
    return engine


def parameter_groups(model: torch.nn.Module, optim: OptimConfig) -> list[dict[str, Any]]:
    """Return the trained parameters in two groups: matrices with weight decay, all others without."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    if not kept:
        raise EngineError("the model has no parameter that requires a gradient: nothing to train")
    return kept


def _move(model: torch.nn.Module, device: Device) -> torch.nn.Module:
    """Move before the optimizer is built, and tie again what was tied: PrivateUse1 devices replace parameters."""
    tied = _tied_names(model)
    model = model.to(device.torch_device)
    for first, others in tied.items():
        parameter = model.get_parameter(first)
        for name in others:
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, parameter)
    return model


def _tied_names(model: torch.nn.Module) -> dict[str, list[str]]:
    names_by_id: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names_by_id.setdefault(id(parameter), []).append(name)
    return {names[0]: names[1:] for names in names_by_id.values() if len(names) > 1}


def _recompute_blocks(model: torch.nn.Module) -> None:
    """Recompute the blocks that the model names in `checkpointable()` instead of keeping their activations."""
    offered = getattr(model, "checkpointable", None)
    if offered is None:
        raise EngineError(
            f"engine.activation_checkpointing = true: {type(model).__name__} offers no blocks; give it a method "
            "`checkpointable()` that returns the modules to recompute, or switch it off"
        )
    for block in offered():
        inner = block.forward

        def recomputed(*args: Any, _inner: Any = inner) -> Any:
            return checkpoint(_inner, *args, use_reentrant=False)

        block.forward = recomputed
