"""What no model can be, whatever its kind: refused before its operations are counted."""

from collections.abc import Sequence

from planner.architectures.settings import Settings
from planner.errors import BadInputError

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "num_heads")
_WIDTH = ("hidden_size", "n_embd")
_HEAD_WIDTH = ("head_dim", "qk_nope_head_dim", "attention_head_dim", "d_kv")
"""Where a configuration has one of these, heads need not divide the width."""
_AT_LEAST_ONE = (
    *_LAYERS, *_HEADS, *_WIDTH, *_HEAD_WIDTH, "v_head_dim", "vocab_size", "intermediate_size", "moe_intermediate_size",
    "patch_size", "image_size", "num_experts_per_tok", "decoder_sparse_step", "interleave_moe_layer_step",
)  # fmt: skip
_MOST_LAYERS = 10_000
"""Ten times as many as the deepest model that was published (DeepNet: Wang et al. 2022, arXiv:2203.00555)."""
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_PARTS = ("text_config", "vision_config")


def refuse_impossible(settings: Settings) -> None:
    """Raise BadInputError for sizes of none, heads that divide no width, and more experts used than there are.

    Also for layers beyond number, and for kinds of layers that are not those of each layer.
    """
    for name in _AT_LEAST_ONE:
        found = _first(settings, (name,))
        if found is not None and found[1] < 1:
            raise BadInputError(f"{found[0]} = {found[1]} ({settings.source}): must be at least 1")
    _refuse_layers(settings)
    heads, width = _first(settings, _HEADS), _first(settings, _WIDTH)
    if heads is not None and width is not None and _first(settings, _HEAD_WIDTH) is None:
        _refuse_remainder(settings, width, heads)
    key_heads = _first(settings, ("num_key_value_heads",))
    if heads is not None and key_heads is not None:
        if key_heads[1] < 1:
            raise BadInputError(f"{key_heads[0]} = {key_heads[1]} ({settings.source}): must be at least 1")
        _refuse_remainder(settings, heads, key_heads)
    experts, active = _first(settings, _EXPERTS), _first(settings, ("num_experts_per_tok",))
    if experts is not None and active is not None and active[1] > experts[1]:
        raise BadInputError(
            f"{active[0]} = {active[1]} ({settings.source}): must be at most {experts[0]} = {experts[1]}: a token "
            "cannot use more experts than there are"
        )
    for part in _PARTS:
        if isinstance(settings.values.get(part), dict):
            refuse_impossible(settings.part(part))


def _refuse_layers(settings: Settings) -> None:
    layers = _first(settings, _LAYERS)
    if layers is None:
        return
    if layers[1] > _MOST_LAYERS:
        raise BadInputError(f"{layers[0]} = {layers[1]} ({settings.source}): must be at most {_MOST_LAYERS:,}")
    kinds = settings.several("layer_types")
    if kinds and len(kinds) != layers[1]:
        raise BadInputError(
            f"layer_types ({settings.source}): has {len(kinds)} kinds, and must have one for each layer: "
            f"{layers[0]} = {layers[1]}"
        )


def _first(settings: Settings, names: Sequence[str]) -> tuple[str, int] | None:
    for name in names:
        value = settings.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return name, value
    return None


def _refuse_remainder(settings: Settings, whole: tuple[str, int], part: tuple[str, int]) -> None:
    if whole[1] % part[1]:
        raise BadInputError(
            f"{part[0]} = {part[1]} ({settings.source}): must divide {whole[0]} = {whole[1]} without a rest"
        )
