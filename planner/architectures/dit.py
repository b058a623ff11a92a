"""Diffusion transformers: DiT with adaptive norms, as diffusers writes it (Peebles and Xie 2022, arXiv:2212.09748)."""

from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend, perceptron
from planner.architectures.vit import patches, square

_NAMES = Names("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
_TIME_CHANNELS = 256
"""Of the sines that stand for a time."""


@dataclass(frozen=True, slots=True)
class DiT:
    """A DiT: every layer embeds time and class anew, and scales and shifts by what it makes of them."""

    width: int
    heads: Heads
    layers: int
    patch: int
    channels_in: int
    channels_out: int
    classes: int

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, channels, height, width] latents, times and classes."""
        rows = shape.samples * patches(shape, self.patch)
        latents = tape.given(rows * self.patch**2, self.channels_in)
        tape.block("embedding", latents)
        x = tape.convolution("pos_embed.proj", latents, self.width, kernel=(self.patch, self.patch), rows=rows)

        def layer(value: Value, _: object) -> Value:
            return self._layer(tape, value, shape.samples)

        x = tape.layers("transformer_blocks", [None] * self.layers, layer, x)
        tape.block("head", x)
        scales = self._condition(tape, shape.samples, "transformer_blocks.0.norm1.emb", is_again=True)
        tape.linear("proj_out_1", tape.activation("silu", scales), 2 * self.width, bias=True)
        x = tape.multiply("modulated", tape.norm("norm_out", x, scale=False), scales)
        tape.linear("proj_out_2", x, self.patch**2 * self.channels_out, bias=True)

    def _layer(self, tape: Tape, x: Value, samples: int) -> Value:
        scales = tape.activation("norm1.silu", self._condition(tape, samples, "norm1.emb"))
        scales = tape.linear("norm1.linear", scales, 6 * self.width, bias=True)
        gate = tape.sliced(scales, self.width)[0]
        inner = tape.multiply("norm1.modulated", tape.norm("norm1.norm", x, scale=False), gate)
        inner = tape.multiply("attn1.gated", attend(tape, inner, _NAMES, self.heads, samples), gate)
        x = tape.add("residual", x, inner)
        inner = tape.multiply("norm3.modulated", tape.norm("norm3", x, scale=False), gate)
        inner = perceptron(tape, inner, 4 * self.width, "ff.net.0.proj", "ff.net.2")
        return tape.add("residual", x, tape.multiply("ff.gated", inner, gate))

    def _condition(self, tape: Tape, samples: int, name: str, *, is_again: bool = False) -> Value:
        time = tape.given(samples, _TIME_CHANNELS)
        first, second = f"{name}.timestep_embedder.linear_1", f"{name}.timestep_embedder.linear_2"
        time = tape.linear(first, time, self.width, bias=True, tied_to=first if is_again else None)
        time = tape.activation("silu", time)
        time = tape.linear(second, time, self.width, bias=True, tied_to=second if is_again else None)
        table = f"{name}.class_embedder.embedding_table"
        if is_again:
            label = tape.look_again(table, samples, self.width)
        else:
            label = tape.lookup(table, samples, self.classes + 1, self.width, is_embedding=False)
        return tape.add("condition", time, label)


def read_dit(settings: Settings) -> Model:
    """Return a DiT from the config.json of diffusers' DiTTransformer2DModel. Raises BadInputError."""
    heads, head_width = settings.integer("num_attention_heads", 16), settings.integer("attention_head_dim", 72)
    channels = settings.integer("in_channels", 4)
    model = DiT(
        heads * head_width,
        Heads(heads, head_width, bias=settings.flag("attention_bias", True)),
        settings.integer("num_layers", 28),
        settings.integer("patch_size", 2),
        channels,
        settings.integer("out_channels", channels),
        settings.integer("num_embeds_ada_norm", 1000),
    )
    size = square(settings, "sample_size", 32)
    return Model(settings.text("name", "dit"), model.forward, BatchShape(image_size=size))
