"""Architectures as lists of operations: what a model computes, keeps and moves at a given shape of batch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.architectures.model import Model

__all__ = ["load"]


def load(given: "str | Path | Mapping[str, Any]") -> "Model":
    """Return a model by the name of a known one, by the path of a config.json, or from its mapping.

    Also the `model` section of a recipe of ours (`kind: clip`). Raises UnknownNameError and BadInputError.
    """
    from planner.architectures.catalogue import known_config
    from planner.architectures.huggingface import read_config
    from planner.architectures.our_models import is_ours, read_ours

    if isinstance(given, Mapping):
        return read_ours(given) if is_ours(given) else read_config(given)
    path = Path(given)
    if path.suffix == ".json" or path.is_file() or path.is_dir():
        return read_config(path / "config.json" if path.is_dir() else path)
    return read_config(known_config(str(given)))
