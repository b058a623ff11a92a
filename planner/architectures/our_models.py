"""The models of our own recipes, from the `model` section of a run's configuration as a plain mapping."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import perceptron
from planner.errors import BadInputError

_POOLED = 2
_PATCH = 4
"""Bytes of each position of the byte transformer."""
_MAX_BYTES = 64
_PIXELS = 32
_HIDDEN_MULTIPLE = 16
"""Of the perceptrons of language models: 8/3 of the width, rounded up to it."""


def is_ours(given: Mapping[str, Any]) -> bool:
    """Return whether a mapping is a `model` section of ours."""
    return given.get("kind") in {"clip", "lm"}


def read_ours(given: Mapping[str, Any]) -> Model:
    """Return the model of a `model` section, to which `texts_per_image` or `sequence_length` of `data` may be added.

    Of `clip`, a sample is an image with its texts, and `tokens` are bytes. The products in losses are left out. Raises
    BadInputError.
    """
    settings = Settings.of(given)
    return _read_lm(settings) if given["kind"] == "lm" else _read_clip(settings)


def _read_lm(settings: Settings) -> Model:
    width, heads = settings.integer("width"), settings.integer("heads")
    vocabulary, layers = settings.integer("vocabulary", 256), settings.integer("layers")
    hidden = _HIDDEN_MULTIPLE * -(-8 * width // (3 * _HIDDEN_MULTIPLE))

    def forward(tape: Tape, shape: BatchShape) -> None:
        tape.block("embedding")
        x = tape.lookup("embed", shape.samples * (shape.tokens or 0), vocabulary, width)

        def layer(value: Value, _: object) -> Value:
            inner = tape.norm("norm1", value, bias=False)
            together = tape.linear("queries_keys_values", inner, 3 * width)
            queries, keys, values = tape.sliced(together, width, width, width)
            queries = tape.rotate(tape.head_norm("query_norm", queries, width // heads))
            keys = tape.rotate(tape.head_norm("key_norm", keys, width // heads))
            mixed = tape.attention(queries, keys, values, heads=heads, samples=shape.samples, is_causal=True)
            value = tape.add("residual", value, tape.linear("attended", mixed, width))
            inner = tape.norm("norm2", value, bias=False)
            gate, up = tape.sliced(tape.linear("gate_and_expand", inner, 2 * hidden), hidden, hidden)
            inner = tape.multiply("product", tape.activation("silu", gate), up)
            return tape.add("residual", value, tape.linear("contract", inner, width))

        x = tape.layers("blocks", [None] * layers, layer, x)
        tape.block("head", x)
        tape.linear("output", tape.norm("norm", x, bias=False), vocabulary, tied_to="embed", is_embedding=True)

    tokens = settings.integer("sequence_length", 128)
    return Model(settings.text("name", "lm"), forward, BatchShape(tokens=tokens))


def _read_clip(settings: Settings) -> Model:
    tower = settings.text("text_tower", "ngram")
    if tower not in {"ngram", "bytes"}:
        raise BadInputError(f"model.text_tower = {tower!r} ({settings.source}): must be ngram or bytes")
    dim, texts_per_image = settings.integer("embedding_dim", 128), settings.integer("texts_per_image", 4)

    def forward(tape: Tape, shape: BatchShape) -> None:
        _image_tower(tape, shape, settings, dim)
        texts = shape.samples * texts_per_image
        if tower == "ngram":
            _ngram_tower(tape, texts, settings, dim)
        else:
            _byte_tower(tape, texts, shape.tokens or _MAX_BYTES, settings, dim)
        tape.weight("log_scale", 1)

    name = settings.text("name", f"clip_{tower}")
    return Model(name, forward, BatchShape(tokens=_MAX_BYTES, image_size=(_PIXELS, _PIXELS)))


def _image_tower(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    height, width = shape.image_size or (_PIXELS, _PIXELS)
    channels = settings.several("image_channels") or [24, 64, 160]
    x = tape.given(shape.samples * height * width, 3)
    for at, (_, number) in enumerate(pairwise([3, *channels])):
        height, width = -(-height // 2), -(-width // 2)
        tape.block(f"image stage {at}", x, is_layer=True, prefix=f"image_tower.stages.{at}.")
        x = tape.convolution("reduce", x, number, kernel=(3, 3), rows=shape.samples * height * width)
        inner = tape.activation("gelu1", tape.norm("norm1", x))
        inner = tape.convolution("conv1", inner, number, kernel=(3, 3), rows=x.rows, bias=False)
        inner = tape.activation("gelu2", tape.norm("norm2", inner))
        x = tape.add("residual", x, tape.convolution("conv2", inner, number, kernel=(3, 3), rows=x.rows, bias=False))
    tape.block("image head", x)
    x = tape.activation("gelu", tape.norm("image_tower.norm", x))
    pooled = tape.reshaped(x, shape.samples, _POOLED**2 * x.width)
    tape.linear("image_tower.project", pooled, dim, bias=True)


def _ngram_tower(tape: Tape, texts: int, settings: Settings, dim: int) -> None:
    width = settings.integer("text_width", 64)
    tape.block("text")
    x = tape.lookup("text_tower.bag", texts, settings.integer("ngram_buckets", 2**14), width)
    x = tape.linear("text_tower.hidden", tape.norm("text_tower.norm", x), 4 * width, bias=True)
    tape.linear("text_tower.project", tape.activation("gelu", x), dim, bias=True)


def _byte_tower(tape: Tape, texts: int, length: int, settings: Settings, dim: int) -> None:
    width = settings.integer("text_width", 64)
    if length % _PATCH or length > _MAX_BYTES:
        raise BadInputError(
            f"tokens = {length}: texts of the byte tower have a multiple of {_PATCH} bytes, up to {_MAX_BYTES}"
        )
    tape.block("text embedding")
    x = tape.lookup("text_tower.embed", texts * length, 256, width)
    x = tape.activation("gelu", tape.convolution("text_tower.conv1", x, width, kernel=(5,), rows=x.rows // 2))
    x = tape.activation("gelu", tape.convolution("text_tower.conv2", x, width, kernel=(3,), rows=x.rows // 2))
    places = tape.lookup("text_tower.place", length // _PATCH, _MAX_BYTES // _PATCH, width, is_embedding=False)
    x = tape.add("placed", x, places)
    heads = next(number for number in (4, 2, 1) if width % number == 0)

    def layer(value: Value, _: object) -> Value:
        together = tape.linear("queries_keys_values", tape.norm("norm1", value), 3 * width, bias=True)
        mixed = tape.attention(*tape.sliced(together, width, width, width), heads=heads, samples=texts)
        value = tape.add("residual", value, tape.linear("attended", mixed, width, bias=True))
        return tape.add("residual", value, perceptron(tape, tape.norm("norm2", value), 3 * width, "expand", "contract"))

    x = tape.layers("text_tower.blocks", [None] * settings.integer("text_layers", 2), layer, x)
    tape.block("text head", x)
    x = tape.reshaped(tape.norm("text_tower.norm", x), texts, width)
    tape.linear("text_tower.project", x, dim, bias=True)
