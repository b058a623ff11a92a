"""From whatever names or describes a model to the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.architectures.catalogue import known_config
from planner.architectures.huggingface import read_config
from planner.architectures.model import Model
from planner.architectures.openclip import read_openclip
from planner.architectures.our_models import is_ours, read_ours
from planner.architectures.settings import Settings


def load(given: str | Path | Mapping[str, Any]) -> Model:
    """Return a model by the name of a known one, by the path of a config.json (or its folder), or from its mapping.

    A mapping may also be the `model` section of one of our recipes, or a model configuration of open_clip. Raises
    UnknownNameError and BadInputError.
    """
    if isinstance(given, Mapping):
        if "vision_cfg" in given:
            return read_openclip(Settings.of(given))
        return read_ours(given) if is_ours(given) else read_config(given)
    path = Path(given)
    if path.suffix == ".json" or path.exists():
        return read_config(path / "config.json" if path.is_dir() else path)
    return read_config(known_config(str(given)))
