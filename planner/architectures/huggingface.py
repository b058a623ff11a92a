"""From a config.json of transformers or diffusers to a model that can be counted."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from planner.architectures.model import Model
from planner.architectures.possible import refuse_impossible
from planner.architectures.settings import Settings
from planner.errors import BadInputError

_READERS: dict[str, str] = {
    **dict.fromkeys(
        (
            "llama", "llama4_text", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2",
            "gemma3_text", "olmo2", "olmo3", "phi3",
        ),
        "llama:read_llama",
    ),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), "deepseek:read_deepseek"),
    "gpt2": "gpt:read_gpt2",
    "gpt_neox": "gpt:read_neox",
    "opt": "gpt:read_opt",
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), "bert:read_bert"),
    **dict.fromkeys(("t5", "mt5"), "t5:read_t5"),
    "vit": "vit:read_vit",
    "clip": "clip:read_clip",
    **dict.fromkeys(("mamba", "mamba2"), "mamba:read_mamba"),
    "DiTTransformer2DModel": "dit:read_dit",
    "UNet2DConditionModel": "unet:read_unet",
}  # fmt: skip
"""`model_type` of transformers or `_class_name` of diffusers, and the reader below planner.architectures."""

_WITHIN = {"llama4": "text_config", "gemma3": "text_config"}
"""Models of several kinds of input, of which the decoder of texts is counted."""


def known_kinds() -> tuple[str, ...]:
    """Return the `model_type`s and `_class_name`s that can be read."""
    return tuple(_READERS)


def read_config(given: Mapping[str, Any] | Path | Settings) -> Model:
    """Return the model of a config.json, given as a mapping or as a file. Raises BadInputError."""
    settings = Settings.of(given)
    kind = settings.text("model_type", settings.text("_class_name", ""))
    if kind in _WITHIN:
        settings = Settings({"model_type": f"{kind}_text", **settings.part(_WITHIN[kind]).values}, settings.source)
        kind = settings.text("model_type", "")
    if not kind:
        raise BadInputError(
            f"{settings.source}: neither model_type (transformers) nor _class_name (diffusers) is given"
        )
    if kind not in _READERS:
        raise BadInputError(f"{kind!r} ({settings.source}): cannot be read; known are {', '.join(sorted(_READERS))}")
    refuse_impossible(settings)
    module, _, name = _READERS[kind].partition(":")
    read: Callable[[Settings], Model] = getattr(import_module(f"planner.architectures.{module}"), name)
    return read(settings)
