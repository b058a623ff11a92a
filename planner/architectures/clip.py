"""Two towers, of pictures and of texts, and the similarity of every pair (Radford et al. 2021, arXiv:2103.00020)."""

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape, Kind, Product
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names
from planner.architectures.vit import PreNormLayer, patches, square

_NAMES = Names("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")


def read_clip(settings: Settings) -> Model:
    """Return a CLIP from its config.json. Raises BadInputError."""
    vision, text = settings.part("vision_config"), settings.part("text_config")
    dim = settings.integer("projection_dim", 512)
    size = square(vision, "image_size", 224)
    tokens = text.integer("max_position_embeddings", 77)

    def forward(tape: Tape, shape: BatchShape) -> None:
        image = vision_tower(tape, shape, vision)
        image = tape.linear("visual_projection", tape.reshaped(image, shape.samples, image.width), dim)
        words = text_tower(tape, shape, text)
        words = tape.linear("text_projection", tape.reshaped(words, shape.samples, words.width), dim)
        tape.weight("logit_scale", 1)
        tape.product("similarity", Kind.SIMILARITY, Product(shape.samples, dim, shape.samples), words, image)

    return Model(settings.text("name", "clip"), forward, BatchShape(tokens=tokens, image_size=size))


def vision_tower(tape: Tape, shape: BatchShape, settings: Settings) -> Value:
    """Write the tower of pictures, and return its output at all positions."""
    width, patch = settings.integer("hidden_size", 768), settings.integer("patch_size", 32)
    number, own = patches(shape, patch), patches(BatchShape(image_size=square(settings, "image_size", 224)), patch)
    pixels = tape.given(shape.samples * number * patch * patch, settings.integer("num_channels", 3))
    tape.block("image embedding", pixels)
    x = tape.convolution(
        "vision_model.embeddings.patch_embedding", pixels, width, kernel=(patch, patch), rows=shape.samples * number,
        bias=False,
    )  # fmt: skip
    has_gradient = x.has_gradient | tape.weight("vision_model.embeddings.class_embedding", width)
    has_gradient |= tape.weight("vision_model.embeddings.position_embedding", (own + 1) * width)
    x = Value(shape.samples * (number + 1), width, has_gradient)
    x = tape.norm("vision_model.pre_layrnorm", x)
    x = _layers(
        tape, "vision_model.encoder.layers", x, settings, shape.samples, is_causal=False, defaults=(12, 12, 3072)
    )
    tape.block("image head", x)
    return tape.norm("vision_model.post_layernorm", tape.reshaped(x, shape.samples, width))


def text_tower(tape: Tape, shape: BatchShape, settings: Settings) -> Value:
    """Write the tower of texts, and return its output at all positions."""
    width, positions = settings.integer("hidden_size", 512), settings.integer("max_position_embeddings", 77)
    rows = shape.samples * (shape.tokens or 0)
    tape.block("text embedding")
    x = tape.lookup("text_model.embeddings.token_embedding", rows, settings.integer("vocab_size", 49408), width)
    x = tape.add("embedded", x, tape.lookup("text_model.embeddings.position_embedding", rows, positions, width))
    x = _layers(tape, "text_model.encoder.layers", x, settings, shape.samples, is_causal=True, defaults=(12, 8, 2048))
    tape.block("text head", x)
    return tape.norm("text_model.final_layer_norm", x)


def _layers(
    tape: Tape,
    prefix: str,
    x: Value,
    settings: Settings,
    samples: int,
    *,
    is_causal: bool,
    defaults: tuple[int, int, int],
) -> Value:
    number, heads, inner = defaults
    heads = settings.integer("num_attention_heads", heads)
    kind = PreNormLayer(
        Heads(heads, x.width // heads, is_causal=is_causal),
        settings.integer("intermediate_size", inner),
        _NAMES,
        ("layer_norm1", "layer_norm2"),
        "mlp.fc1",
        "mlp.fc2",
    )
    number = settings.integer("num_hidden_layers", number)
    return tape.layers(prefix, [None] * number, lambda value, _: kind.write(tape, value, samples), x)
