"""Diffusion UNets with text: Stable Diffusion 1, 2 and XL, as diffusers' UNet2DConditionModel writes them.

Rombach et al. 2021, arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend
from planner.architectures.vit import square
from planner.errors import BadInputError

_SELF = Names("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
_CROSS = Names("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0")
_BLOCKS = {"CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UNetMidBlock2DCrossAttn"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A map of features: a value of samples · height · width rows, and its height and width."""

    value: Value
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: channels, attention, and how many layers each way."""

    channels: int
    heads: int
    resnets: int
    transformers: int
    """Transformer layers in each attention; 0 where there is none on the way down."""
    has_attention_up: bool


@dataclass(frozen=True, slots=True)
class UNet:
    """A UNet conditioned on time and text."""

    levels: tuple[Level, ...]
    channels_in: int
    channels_out: int
    text_width: int
    is_linear: bool
    """Whether the projections around transformers are linear layers and not convolutions."""
    added_width: int
    """Of SDXL's pooled text and sizes; 0 where there are none."""

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, channels, height, width] latents, times and texts."""
        run = _Run(self, tape, shape)
        x = run.begin()
        skips = [x]
        for at, level in enumerate(self.levels):
            x = run.down(at, level, x, skips)
        x = run.middle(self.levels[-1], x)
        for at, level in enumerate(reversed(self.levels)):
            x = run.up(at, level, x, skips, is_last=at == len(self.levels) - 1)
        tape.block("head", x.value)
        inner = tape.activation("conv_act", tape.norm("conv_norm_out", x.value))
        tape.convolution("conv_out", inner, self.channels_out, kernel=(3, 3), rows=inner.rows)


class _Run:
    """One forward pass: the tape, and the embeddings of time and text that every layer uses."""

    def __init__(self, net: UNet, tape: Tape, shape: BatchShape) -> None:
        self._net, self._tape, self._samples = net, tape, shape.samples
        self._size = shape.image_size or (0, 0)
        self._text = tape.given(shape.samples * (shape.tokens or 0), net.text_width)
        self._time = tape.given(shape.samples, net.levels[0].channels)

    def begin(self) -> Picture:
        """Write the first convolution and the embedding of times."""
        tape, channels, (height, width) = self._tape, self._net.levels[0].channels, self._size
        tape.block("embedding")
        self._time = self._embedded("time_embedding", self._time, 4 * channels)
        if self._net.added_width:
            added = self._embedded("add_embedding", tape.given(self._samples, self._net.added_width), 4 * channels)
            self._time = tape.add("condition", self._time, added)
        latents = tape.given(self._samples * height * width, self._net.channels_in)
        x = tape.convolution("conv_in", latents, channels, kernel=(3, 3), rows=latents.rows)
        return Picture(x, height, width)

    def down(self, at: int, level: Level, x: Picture, skips: list[Picture]) -> Picture:
        """Write one resolution on the way down; what its layers give goes to `skips`."""
        tape, name = self._tape, f"down_blocks.{at}"
        for number in range(level.resnets):
            tape.block(f"down {at}.{number}", x.value, is_layer=True)
            x = self._resnet(f"{name}.resnets.{number}", x, level.channels)
            x = self._transformer(f"{name}.attentions.{number}", x, level, level.transformers)
            skips.append(x)
        if at < len(self._net.levels) - 1:
            height, width = -(-x.height // 2), -(-x.width // 2)
            rows = self._samples * height * width
            smaller = tape.convolution(f"{name}.downsamplers.0.conv", x.value, level.channels, kernel=(3, 3), rows=rows)
            x = Picture(smaller, height, width)
            skips.append(x)
        return x

    def middle(self, level: Level, x: Picture) -> Picture:
        """Write the lowest resolution."""
        self._tape.block("middle", x.value, is_layer=True)
        x = self._resnet("mid_block.resnets.0", x, level.channels)
        x = self._transformer("mid_block.attentions.0", x, level, max(1, level.transformers))
        return self._resnet("mid_block.resnets.1", x, level.channels)

    def up(self, at: int, level: Level, x: Picture, skips: list[Picture], *, is_last: bool) -> Picture:
        """Write one resolution on the way up; each layer takes one of `skips`."""
        tape, name = self._tape, f"up_blocks.{at}"
        for number in range(level.resnets + 1):
            skip = skips.pop()
            tape.block(f"up {at}.{number}", x.value, is_layer=True)
            together = tape.concatenated(x.value, skip.value, width=x.value.width + skip.value.width)
            x = self._resnet(f"{name}.resnets.{number}", Picture(together, x.height, x.width), level.channels)
            layers = max(1, level.transformers) if level.has_attention_up else 0
            x = self._transformer(f"{name}.attentions.{number}", x, level, layers)
        if is_last:
            return x
        height, width = skips[-1].height, skips[-1].width
        larger = tape.reshaped(x.value, self._samples * height * width, level.channels)
        larger = tape.convolution(f"{name}.upsamplers.0.conv", larger, level.channels, kernel=(3, 3), rows=larger.rows)
        return Picture(larger, height, width)

    def _embedded(self, name: str, x: Value, width: int) -> Value:
        tape = self._tape
        inner = tape.activation(f"{name}.act", tape.linear(f"{name}.linear_1", x, width, bias=True))
        return tape.linear(f"{name}.linear_2", inner, width, bias=True)

    def _resnet(self, name: str, x: Picture, channels: int) -> Picture:
        tape, rows = self._tape, x.value.rows
        inner = tape.activation(f"{name}.act1", tape.norm(f"{name}.norm1", x.value))
        inner = tape.convolution(f"{name}.conv1", inner, channels, kernel=(3, 3), rows=rows)
        time = tape.linear(f"{name}.time_emb_proj", tape.activation(f"{name}.act", self._time), channels, bias=True)
        inner = tape.add(f"{name}.timed", inner, time)
        inner = tape.activation(f"{name}.act2", tape.norm(f"{name}.norm2", inner))
        inner = tape.convolution(f"{name}.conv2", inner, channels, kernel=(3, 3), rows=rows)
        shortcut = x.value
        if shortcut.width != channels:
            shortcut = tape.convolution(f"{name}.conv_shortcut", shortcut, channels, kernel=(1, 1), rows=rows)
        return Picture(tape.add(f"{name}.residual", shortcut, inner), x.height, x.width)

    def _transformer(self, name: str, x: Picture, level: Level, layers: int) -> Picture:
        if not layers:
            return x
        inner = self._projected(f"{name}.proj_in", self._tape.norm(f"{name}.norm", x.value))
        heads = Heads(level.heads, level.channels // level.heads, bias=False)
        for number in range(layers):
            inner = self._layer(f"{name}.transformer_blocks.{number}", inner, heads)
        inner = self._projected(f"{name}.proj_out", inner)
        return Picture(self._tape.add(f"{name}.residual", x.value, inner), x.height, x.width)

    def _projected(self, name: str, x: Value) -> Value:
        if self._net.is_linear:
            return self._tape.linear(name, x, x.width, bias=True)
        return self._tape.convolution(name, x, x.width, kernel=(1, 1), rows=x.rows)

    def _layer(self, name: str, x: Value, heads: Heads) -> Value:
        tape = self._tape
        for norm, names, context in (("norm1", _SELF, None), ("norm2", _CROSS, self._text)):
            inner = tape.norm(f"{name}.{norm}", x)
            inner = attend(tape, inner, _below(name, names), heads, self._samples, context=context)
            x = tape.add(f"{name}.residual", x, inner)
        inner = tape.linear(f"{name}.ff.net.0.proj", tape.norm(f"{name}.norm3", x), 8 * x.width, bias=True)
        value, gate = tape.sliced(inner, 4 * x.width, 4 * x.width)
        inner = tape.multiply(f"{name}.ff.gated", value, tape.activation(f"{name}.ff.gelu", gate))
        return tape.add(f"{name}.residual", x, tape.linear(f"{name}.ff.net.2", inner, x.width, bias=True))


def _below(name: str, names: Names) -> Names:
    return Names(f"{name}.{names.queries}", f"{name}.{names.keys}", f"{name}.{names.values}", f"{name}.{names.out}")


def read_unet(settings: Settings) -> Model:
    """Return a UNet from the config.json of diffusers' UNet2DConditionModel. Raises BadInputError."""
    channels = settings.several("block_out_channels") or [320, 640, 1280, 1280]
    down = settings.several("down_block_types") or ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    up = settings.several("up_block_types") or ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
    strange = {*down, *up, settings.text("mid_block_type", "UNetMidBlock2DCrossAttn")} - _BLOCKS
    if strange:
        raise BadInputError(
            f"blocks {', '.join(sorted(strange))} ({settings.source}): known are {', '.join(sorted(_BLOCKS))}"
        )
    number = len(channels)
    heads = _each(settings, "attention_head_dim", 8, number)
    resnets, layers = (
        _each(settings, "layers_per_block", 2, number),
        _each(settings, "transformer_layers_per_block", 1, number),
    )
    levels = tuple(
        Level(
            channels[at], heads[at], resnets[at], layers[at] if down[at].startswith("Cross") else 0,
            has_attention_up=up[number - 1 - at].startswith("Cross"),
        )
        for at in range(number)
    )  # fmt: skip
    added = settings.integer("projection_class_embeddings_input_dim", 0) if "addition_embed_type" in settings else 0
    net = UNet(
        levels,
        settings.integer("in_channels", 4),
        settings.integer("out_channels", 4),
        _each(settings, "cross_attention_dim", 1280, number)[0],
        settings.flag("use_linear_projection"),
        added,
    )
    own = BatchShape(tokens=77, image_size=square(settings, "sample_size", 64))
    return Model(settings.text("name", "unet"), net.forward, own)


def _each(settings: Settings, name: str, default: int, number: int) -> list[int]:
    """Return a value for each level from one for all or from a list."""
    value: Any = settings.values.get(name)
    if isinstance(value, Sequence):
        return [int(item) for item in value]
    return [settings.integer(name, default)] * number
