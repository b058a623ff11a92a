"""Encoders of pictures: ViT (Dosovitskiy et al. 2020, arXiv:2010.11929)."""

from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend, perceptron
from planner.errors import BadInputError

_NAMES = Names("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj")


@dataclass(frozen=True, slots=True)
class PreNormLayer:
    """A residual layer with normalisation before attention and before the perceptron."""

    heads: Heads
    inner: int
    names: Names
    norms: tuple[str, str]
    up: str
    down: str

    def write(self, tape: Tape, x: Value, samples: int) -> Value:
        """Write one layer."""
        x = tape.add("residual", x, attend(tape, tape.norm(self.norms[0], x), self.names, self.heads, samples))
        inner = perceptron(tape, tape.norm(self.norms[1], x), self.inner, self.up, self.down)
        return tape.add("residual", x, inner)


def patches(shape: BatchShape, patch: int) -> int:
    """Return how many patches a picture has. Raises BadInputError where they do not cover it."""
    height, width = shape.image_size or (0, 0)
    if height < patch or width < patch:
        raise BadInputError(f"image of {height} x {width} pixels: smaller than one patch of {patch}")
    return (height // patch) * (width // patch)


def square(settings: Settings, name: str, default: int | None = None) -> tuple[int, int]:
    """Return a size in pixels that is given as one number or as two. Raises BadInputError."""
    value = settings.values.get(name)
    if isinstance(value, list | tuple):
        return (int(value[0]), int(value[1]))
    side = settings.integer(name, default)
    return (side, side)


def read_vit(settings: Settings) -> Model:
    """Return a ViT from its config.json: a classifier where `architectures` names one. Raises BadInputError."""
    width, patch = settings.integer("hidden_size"), settings.integer("patch_size", 16)
    heads = settings.integer("num_attention_heads")
    kind = PreNormLayer(
        Heads(heads, width // heads, bias=settings.flag("qkv_bias", True)),
        settings.integer("intermediate_size"),
        _NAMES,
        ("layernorm_before", "layernorm_after"),
        "mlp.fc1",
        "mlp.fc2",
    )
    size = square(settings, "image_size", 224)
    own = patches(BatchShape(image_size=size), patch)
    labels = settings.integer("num_labels", len(settings.values.get("id2label") or {}) or 2)
    is_classifier = next(iter(settings.several("architectures")), "ForImageClassification").endswith("Classification")

    def forward(tape: Tape, shape: BatchShape) -> None:
        number = patches(shape, patch)
        pixels = tape.given(shape.samples * number * patch * patch, settings.integer("num_channels", 3))
        tape.block("embedding", pixels)
        rows = shape.samples * number
        x = tape.convolution(
            "vit.embeddings.patch_embeddings.projection", pixels, width, kernel=(patch, patch), rows=rows
        )
        has_gradient = tape.weight("vit.embeddings.cls_token", width)
        has_gradient |= tape.weight("vit.embeddings.position_embeddings", (own + 1) * width)
        x = Value(shape.samples * (number + 1), width, x.has_gradient or has_gradient)
        x = tape.layers(
            "vit.layers",
            [None] * settings.integer("num_hidden_layers"),
            lambda value, _: kind.write(tape, value, shape.samples),
            x,
        )
        tape.block("head", x)
        first = tape.reshaped(tape.norm("vit.layernorm", x), shape.samples, width)
        if is_classifier:
            tape.linear("classifier", first, labels, bias=True)
        else:
            tape.linear("vit.pooler.dense", first, settings.integer("pooler_output_size", width), bias=True)

    return Model(settings.text("name", "vit"), forward, BatchShape(image_size=size))
