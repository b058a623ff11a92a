"""Swin transformers: attention within windows, patches merged between stages (Liu et al. 2021, arXiv:2103.14030)."""

from planner.architectures.operations import BatchShape
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import perceptron

_WIDTH, _PATCH, _WINDOW, _HEAD_WIDTH = 128, 4, 7, 32
_DEPTHS = (2, 2, 18, 2)


def swin_base(tape: Tape, shape: BatchShape, dim: int) -> None:
    """Write the base Swin with windows of 7 and a projection to `dim`."""
    height, across = shape.image_size or (0, 0)
    pixels = tape.given(shape.samples * height * across, 3)
    height, across = height // _PATCH, across // _PATCH
    tape.block("image embedding", pixels)
    rows = shape.samples * height * across
    x = tape.convolution("visual.patch_embed.proj", pixels, _WIDTH, kernel=(_PATCH, _PATCH), rows=rows)
    x = tape.norm("visual.patch_embed.norm", x)
    for stage, number in enumerate(_DEPTHS):
        if stage:
            tape.block(f"merge {stage}", x)
            x = tape.norm(f"visual.layers.{stage}.downsample.norm", tape.reshaped(x, x.rows // 4, 4 * x.width))
            x = tape.linear(f"visual.layers.{stage}.downsample.reduction", x, x.width // 2)
        x = tape.layers(f"visual.layers.{stage}.blocks", [None] * number, lambda value, _: _layer(tape, value), x)
    tape.block("image head", x)
    x = tape.reshaped(tape.norm("visual.norm", x), shape.samples, x.width)
    tape.linear("visual.proj", x, dim)


def _layer(tape: Tape, x: Value) -> Value:
    heads, windows = x.width // _HEAD_WIDTH, x.rows // _WINDOW**2
    tape.weight("attn.relative_position_bias_table", (2 * _WINDOW - 1) ** 2 * heads)
    together = tape.linear("attn.qkv", tape.norm("norm1", x), 3 * x.width, bias=True)
    mixed = tape.attention(*tape.sliced(together, x.width, x.width, x.width), heads=heads, samples=windows)
    x = tape.add("residual", x, tape.linear("attn.proj", mixed, x.width, bias=True))
    return tape.add("residual", x, perceptron(tape, tape.norm("norm2", x), 4 * x.width, "mlp.fc1", "mlp.fc2"))
