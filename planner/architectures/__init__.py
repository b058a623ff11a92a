"""Architectures as lists of operations: what a model computes, keeps and moves at a given shape of batch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.architectures.catalogue import known_config, known_names
    from planner.architectures.loading import load
    from planner.architectures.model import Model
    from planner.architectures.operations import BatchShape, Block, Kind, Operation
    from planner.architectures.tuning import Lora, Tuning

__all__ = [
    "BatchShape", "Block", "Kind", "Lora", "Model", "Operation", "Tuning", "known_config", "known_names", "load",
]  # fmt: skip

_MODULES = {
    "BatchShape": "operations",
    "Block": "operations",
    "Kind": "operations",
    "Lora": "tuning",
    "Model": "model",
    "Operation": "operations",
    "Tuning": "tuning",
    "known_config": "catalogue",
    "known_names": "catalogue",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
