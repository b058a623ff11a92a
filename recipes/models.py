"""From the model section to a module, and its size without building it."""

import torch
from torch import nn

from recipes.clip import ClipModel
from recipes.config import ClipModelConfig, LmModelConfig, ModelConfig, TargetConfig
from recipes.lm_model import LanguageModel
from recipes.target import load_target


def build_model(config: ModelConfig) -> nn.Module:
    """Build the model on the CPU; its weights are a function of torch's seed alone.

    Raises TargetError subclasses for a user's own model.
    """
    if isinstance(config, ClipModelConfig):
        return ClipModel(config)
    if isinstance(config, LmModelConfig):
        return LanguageModel(config)
    return load_target(config, nn.Module, "model")


def parameter_count(config: ModelConfig) -> int | None:
    """Return the number of parameters, without memory for them.

    None for a user's own model: only workers import it.
    """
    if isinstance(config, TargetConfig):
        return None
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(config).parameters())
