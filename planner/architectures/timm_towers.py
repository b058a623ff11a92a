"""Networks of timm that open_clip uses for pictures: ConvNeXt, EVA, and the ViTs of SigLIP.

Liu et al. 2022, arXiv:2201.03545; Fang et al. 2022 and 2023, arXiv:2211.07636 and 2303.11331; Zhai et al. 2023,
arXiv:2303.15343.
"""

from dataclasses import dataclass
from math import isqrt

from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.swin import swin_base
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import perceptron
from planner.architectures.vit import patches
from planner.errors import BadInputError

_CONVNEXTS: dict[str, tuple[tuple[int, ...], int]] = {
    "convnext_tiny": ((3, 3, 9, 3), 96),
    "convnext_small": ((3, 3, 27, 3), 96),
    "convnext_base": ((3, 3, 27, 3), 128),
    "convnext_large": ((3, 3, 27, 3), 192),
    "convnext_xlarge": ((3, 3, 27, 3), 256),
    "convnext_xxlarge": ((3, 4, 30, 3), 384),
}
"""Layers of each stage, and the channels of the first."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A ViT of timm."""

    width: int
    layers: int
    heads: int
    patch: int
    inner: int
    qkv_biases: int = 3
    has_class: bool = True
    is_gated: bool = False
    """Two products up, a norm within (EVA 02), and a norm within attention."""
    has_map: bool = False
    """The head is attention by one learnt query and a perceptron (SigLIP)."""
    has_projection: bool = True
    has_scale: bool = False
    """A learnt scale on each residual."""
    relative_width: int = 0
    """Of the perceptron that makes relative positions, in each layer; with them, there are no absolute ones."""


_PLAINS = {
    "eva02_base_patch16_clip": Plain(768, 12, 12, 16, 2048, qkv_biases=2, is_gated=True),
    "eva02_large_patch14_clip": Plain(1024, 24, 16, 14, 2730, qkv_biases=2, is_gated=True),
    "eva_giant_patch14": Plain(1408, 40, 16, 14, 6144, qkv_biases=2),
    "eva02_enormous_patch14_clip": Plain(1792, 64, 16, 14, 15360, qkv_biases=2),
    "vit_base_patch16_siglip": Plain(768, 12, 12, 16, 3072, has_class=False, has_map=True, has_projection=False),
    "vit_large_patch16_siglip": Plain(1024, 24, 16, 16, 4096, has_class=False, has_map=True, has_projection=False),
    "vit_so400m_patch14_siglip": Plain(1152, 27, 16, 14, 4304, has_class=False, has_map=True, has_projection=False),
    "vit_medium_patch16_gap": Plain(512, 12, 8, 16, 2048, qkv_biases=0, has_class=False, has_scale=True),
    "vit_relpos_medium_patch16_cls": Plain(512, 12, 8, 16, 2048, qkv_biases=0, has_scale=True, relative_width=256),
}


def timm_tower(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    """Write a tower by timm's name. Raises BadInputError for one that is not known."""
    name = settings.text("timm_model_name", "")
    plain = _PLAINS.get(name.rpartition("_")[0])
    if plain is not None:
        _plain(tape, shape, plain, dim)
    elif name in _CONVNEXTS:
        _convnext(tape, shape, settings, dim)
    elif name == "swin_base_patch4_window7_224":
        swin_base(tape, shape, dim)
    else:
        known = ", ".join(sorted({*_CONVNEXTS, *_PLAINS, "swin_base_patch4_window7_224"}))
        raise BadInputError(f"vision_cfg.timm_model_name = {name} ({settings.source}): known are {known}")


def _convnext(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    depths, channels = _CONVNEXTS[settings.text("timm_model_name", "")]
    height, across = shape.image_size or (0, 0)
    x = tape.given(shape.samples * height * across, 3)
    for stage, number in enumerate(depths):
        tape.block(f"image stage {stage} down", x)
        step, width = (2, channels * 2**stage) if stage else (4, channels)
        height, across = height // step, across // step
        x = tape.norm(f"visual.stages.{stage}.downsample.0", x) if stage else x
        rows = shape.samples * height * across
        x = tape.convolution(f"visual.stages.{stage}.downsample.1", x, width, kernel=(step, step), rows=rows)
        x = x if stage else tape.norm("visual.stem.1", x)
        x = tape.layers(
            f"visual.stages.{stage}.blocks", [None] * number, lambda value, _: _convnext_layer(tape, value), x
        )
    tape.block("image head", x)
    x = tape.norm("visual.head.norm", tape.reshaped(x, shape.samples, x.width))
    if settings.text("timm_proj", "linear") == "mlp":
        x = tape.activation("gelu", tape.linear("visual.proj.fc1", x, 2 * dim, bias=True))
    tape.linear("visual.proj", x, dim)


def _convnext_layer(tape: Tape, x: Value) -> Value:
    inner = tape.convolution("conv_dw", x, x.width, kernel=(7, 7), rows=x.rows, groups=x.width)
    inner = perceptron(tape, tape.norm("norm", inner), 4 * x.width, "mlp.fc1", "mlp.fc2")
    tape.weight("gamma", x.width)
    return tape.add("residual", x, inner)


def _plain(tape: Tape, shape: BatchShape, net: Plain, dim: int) -> None:
    number, samples = patches(shape, net.patch), shape.samples
    rows = samples * number
    pixels = tape.given(rows * net.patch**2, 3)
    tape.block("image embedding", pixels)
    x = tape.convolution("visual.patch_embed.proj", pixels, net.width, kernel=(net.patch, net.patch), rows=rows)
    trained = tape.weight("visual.cls_token", net.width) if net.has_class else False
    if not net.relative_width:
        trained |= tape.weight("visual.pos_embed", (number + net.has_class) * net.width)
    x = Value(samples * (number + net.has_class), net.width, x.has_gradient or trained)
    x = tape.layers("visual.blocks", [None] * net.layers, lambda value, _: _plain_layer(tape, value, net, samples), x)
    tape.block("image head", x)
    x = tape.norm("visual.norm", x)
    if net.has_map:
        x = _attention_pool(tape, x, net, samples)
    if net.has_projection:
        tape.linear("visual.head", tape.reshaped(x, samples, net.width), dim, bias=net.qkv_biases > 0)


def _plain_layer(tape: Tape, x: Value, net: Plain, samples: int) -> Value:
    together = tape.linear("attn.qkv", tape.norm("norm1", x), 3 * net.width)
    if net.qkv_biases:
        tape.weight("attn.qkv.bias", net.qkv_biases * net.width)
    parts = tape.sliced(together, net.width, net.width, net.width)
    if net.relative_width:
        side = isqrt(x.rows // samples)
        places = tape.given((2 * side - 1) ** 2, 2)
        places = tape.linear("attn.rel_pos.mlp.fc1", places, net.relative_width, bias=True)
        tape.linear("attn.rel_pos.mlp.fc2", tape.activation("attn.rel_pos.act", places), net.heads, bias=True)
    if net.has_scale:
        tape.weight("scales", 2 * net.width)
    mixed = tape.attention(*parts, heads=net.heads, samples=samples)
    mixed = tape.norm("attn.norm", mixed) if net.is_gated else mixed
    x = tape.add("residual", x, tape.linear("attn.proj", mixed, net.width, bias=True))
    inner = tape.norm("norm2", x)
    if not net.is_gated:
        return tape.add("residual", x, perceptron(tape, inner, net.inner, "mlp.fc1", "mlp.fc2"))
    gate = tape.activation("mlp.act", tape.linear("mlp.fc1_g", inner, net.inner, bias=True))
    inner = tape.multiply("mlp.product", gate, tape.linear("mlp.fc1_x", inner, net.inner, bias=True))
    return tape.add("residual", x, tape.linear("mlp.fc2", tape.norm("mlp.norm", inner), net.width, bias=True))


def _attention_pool(tape: Tape, x: Value, net: Plain, samples: int) -> Value:
    trained = tape.weight("visual.attn_pool.latent", net.width)
    queries = tape.linear("visual.attn_pool.q", Value(samples, net.width, trained), net.width, bias=True)
    keys, values = tape.sliced(tape.linear("visual.attn_pool.kv", x, 2 * net.width, bias=True), net.width, net.width)
    mixed = tape.attention(queries, keys, values, heads=net.heads, samples=samples)
    mixed = tape.linear("visual.attn_pool.proj", mixed, net.width, bias=True)
    inner = tape.norm("visual.attn_pool.norm", mixed)
    inner = perceptron(tape, inner, net.inner, "visual.attn_pool.mlp.fc1", "visual.attn_pool.mlp.fc2")
    return tape.add("residual", mixed, inner)
