"""Which adapter answers for which engine."""

from typing import Any

import torch
from torch.distributed.tensor import DTensor

from checkpoint.adapter_dtensor import Sharded
from checkpoint.adapter_torch import TorchAdapter
from checkpoint.errors import AdapterError
from checkpoint.state import StateAdapter


def adapter_for(model: Any, optimizer: torch.optim.Optimizer | None = None) -> StateAdapter:
    """Return the adapter of a DeepSpeed engine, or of a torch module and its optimizer (FSDP2 included).

    DeepSpeed is imported only when `model` is one of its engines, whose optimizer is the engine's own. Raises
    AdapterError for anything else.
    """
    if any(kind.__module__.startswith("deepspeed.") for kind in type(model).__mro__):
        from checkpoint.adapter_deepspeed import DeepSpeedAdapter  # noqa: PLC0415 - costs seconds, needed by few

        return DeepSpeedAdapter(model)
    if not isinstance(model, torch.nn.Module):
        raise AdapterError(f"model is a {type(model).__name__}: must be a DeepSpeed engine or a torch.nn.Module")
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return TorchAdapter(model, optimizer, Sharded())
    return TorchAdapter(model, optimizer)
