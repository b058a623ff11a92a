"""Models, data, losses and metrics as plain torch. Knows neither Ray nor DeepSpeed.

Names are imported when they are first used: `import recipes` alone does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.build import build_recipe
    from recipes.errors import RecipeError
    from recipes.models import build_model, parameter_count
    from recipes.protocol import Batch, Forward, MicroLoss, Recipe, TrainData

_HOME = {
    "Batch": "protocol",
    "Forward": "protocol",
    "MicroLoss": "protocol",
    "Recipe": "protocol",
    "RecipeError": "errors",
    "TrainData": "protocol",
    "build_model": "models",
    "build_recipe": "build",
    "parameter_count": "models",
}

__all__ = [
    "Batch",
    "Forward",
    "MicroLoss",
    "Recipe",
    "RecipeError",
    "TrainData",
    "build_model",
    "build_recipe",
    "parameter_count",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'recipes' has no attribute {name!r}")
    return getattr(import_module(f"recipes.{_HOME[name]}"), name)
