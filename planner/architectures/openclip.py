"""Two towers from open_clip's model configurations: `embed_dim`, `vision_cfg` and `text_cfg`.

Pictures by a ViT, by CLIP's ResNet, or by one of timm's networks (timm_towers.py); texts by CLIP's transformer or by an
encoder of transformers (hf_name).
"""

from planner.architectures.bert import encoder_of
from planner.architectures.catalogue import known_config
from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.resnet import clip_resnet
from planner.architectures.settings import Settings
from planner.architectures.t5 import t5_of
from planner.architectures.tape import Tape, Value
from planner.architectures.timm_towers import timm_tower
from planner.architectures.transformer import Heads, Names, attend, perceptron
from planner.architectures.vit import PreNormLayer, patches, square
from planner.errors import BadInputError

_TOKENS = 77
_HF_TOKENS = {
    "roberta-base": 514, "xlm-roberta-base": 514, "xlm-roberta-large": 514, "nllb-200-distilled-600M": 1024,
    "nllb-200-distilled-1.3B": 1024,
}  # fmt: skip
"""The positions that they have; mT5 has no bound."""
_NLLB = {"nllb-200-distilled-600M": (12, 4096), "nllb-200-distilled-1.3B": (24, 8192)}
"""Layers and inner width of the encoders, of 16 heads and width 1024, with 256,206 tokens."""
_QUERIES = 256
_NAMES = Names("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj")
_CROSS = Names("cross.attn.q_proj", "cross.attn.k_proj", "cross.attn.v_proj", "cross.attn.out_proj")


def read_openclip(settings: Settings) -> Model:
    """Return the towers of a configuration (and CoCa's decoder), without similarities. Raises BadInputError."""
    vision, text = settings.part("vision_cfg"), settings.part("text_cfg")
    dim, size = settings.integer("embed_dim"), square(settings.part("vision_cfg"), "image_size", 224)

    def forward(tape: Tape, shape: BatchShape) -> None:
        vision_tower(tape, shape, vision, dim)
        text_tower(tape, shape, text, dim)
        if "multimodal_cfg" in settings:
            coca_decoder(tape, shape, settings)
        tape.block("loss")
        tape.weight("logit_scale", 1)
        if "init_logit_bias" in settings:
            tape.weight("logit_bias", 1)

    tokens = settings.part("multimodal_cfg").integer("context_length", context(text))
    return Model(settings.text("name", "open_clip"), forward, BatchShape(tokens=tokens, image_size=size))


def context(text: Settings) -> int:
    """Return how many tokens a text has, without a class token: those of the configuration or of the encoder."""
    own = _HF_TOKENS.get(_hf_name(text), _TOKENS)
    return text.integer("context_length", own)


def _hf_name(text: Settings) -> str:
    return text.text("hf_model_name", "").rpartition("/")[2]


def vision_tower(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    """Write the tower of pictures."""
    if "timm_model_name" in settings:
        timm_tower(tape, shape, settings, dim)
    elif isinstance(settings.values.get("layers"), list):
        clip_resnet(tape, shape, settings, dim)
    else:
        _vit(tape, shape, settings, dim)


def _vit(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    width, patch = settings.integer("width"), settings.integer("patch_size")
    number = patches(shape, patch)
    rows = shape.samples * number
    pixels = tape.given(rows * patch * patch, 3)
    tape.block("image embedding", pixels)
    x = tape.convolution("visual.conv1", pixels, width, kernel=(patch, patch), rows=rows, bias=False)
    trained = tape.weight("visual.class_embedding", width)
    trained |= tape.weight("visual.positional_embedding", (number + 1) * width)
    x = Value(shape.samples * (number + 1), width, x.has_gradient or trained)
    if not settings.flag("no_ln_pre"):
        x = tape.norm("visual.ln_pre", x)
    heads = width // settings.integer("head_width", 64)
    x = _layers(tape, "visual.transformer.resblocks", x, settings, heads, shape.samples, is_causal=False)
    tape.block("image head", x)
    if settings.flag("attentional_pool"):
        x = _attentional_pool(tape, x, dim, settings.integer("attn_pooler_heads", 8), shape.samples)
    x = tape.norm("visual.ln_post", tape.reshaped(x, shape.samples, x.width))
    tape.linear("visual.proj", x, dim)


def _attentional_pool(tape: Tape, x: Value, dim: int, heads: int, samples: int) -> Value:
    """Write CoCa's pooling: learnt queries attend to all positions (Yu et al. 2022, arXiv:2205.01917, section 3.2)."""
    trained = tape.weight("visual.attn_pool.query", _QUERIES * dim)
    queries = tape.norm("visual.attn_pool.ln_q", Value(samples * _QUERIES, dim, trained))
    names = Names(*(f"visual.attn_pool.attn.{name}_proj" for name in ("q", "k", "v", "out")))
    return attend(
        tape, queries, names, Heads(heads, dim // heads), samples, context=tape.norm("visual.attn_pool.ln_k", x)
    )


def text_tower(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    """Write the tower of texts."""
    if "hf_model_name" in settings:
        _hf_text(tape, shape, settings, dim)
        return
    width = settings.integer("width")
    has_class = settings.flag("embed_cls")
    rows, tokens = shape.samples * ((shape.tokens or 0) + has_class), context(settings) + has_class
    tape.block("text embedding")
    x = tape.lookup("token_embedding", rows, settings.integer("vocab_size", 49408), width)
    trained = tape.weight("positional_embedding", tokens * width)
    if has_class:
        tape.weight("cls_emb", width)
    x = Value(rows, width, x.has_gradient or trained)
    is_causal = not settings.flag("no_causal_mask")
    x = _layers(
        tape, "transformer.resblocks", x, settings, settings.integer("heads"), shape.samples, is_causal=is_causal
    )
    tape.block("text head", x)
    x = tape.reshaped(tape.norm("ln_final", x), shape.samples, width)
    tape.linear("text_projection", x, dim, bias=settings.flag("proj_bias"))


def _layers(
    tape: Tape, prefix: str, x: Value, settings: Settings, heads: int, samples: int, *, is_causal: bool
) -> Value:
    inner = int(x.width * settings.number("mlp_ratio", 4.0))
    kind = PreNormLayer(
        Heads(heads, x.width // heads, is_causal=is_causal), inner, _NAMES, ("ln_1", "ln_2"), "mlp.c_fc", "mlp.c_proj"
    )
    has_scale = settings.number("ls_init_value", 0.0) > 0

    def layer(value: Value, _: object) -> Value:
        if has_scale:
            tape.weight("ls_1", value.width)
            tape.weight("ls_2", value.width)
        return kind.write(tape, value, samples)

    return tape.layers(prefix, [None] * settings.integer("layers"), layer, x)


def coca_decoder(tape: Tape, shape: BatchShape, settings: Settings) -> None:
    """Write CoCa's decoder of captions, whose layers alternate with attention to what the tower of pictures gives."""
    part, vision = settings.part("multimodal_cfg"), settings.part("vision_cfg")
    width, samples, tokens = part.integer("width"), shape.samples, shape.tokens or 0
    has_pool = vision.flag("attentional_pool")
    seen = _QUERIES - 1 if has_pool else patches(shape, vision.integer("patch_size"))
    picture = Value(samples * seen, width, has_gradient=True)
    heads = Heads(part.integer("heads", 8), width // part.integer("heads", 8))
    causal = Heads(heads.number, heads.width, is_causal=True)

    def layer(value: Value, _: object) -> Value:
        value = PreNormLayer(causal, 4 * width, _NAMES, ("ln_1", "ln_2"), "mlp.c_fc", "mlp.c_proj").write(
            tape, value, samples
        )
        context_value = tape.norm("cross.ln_1_kv", picture)
        inner = attend(tape, tape.norm("cross.ln_1", value), _CROSS, heads, samples, context=context_value)
        value = tape.add("residual", value, inner)
        inner = perceptron(tape, tape.norm("cross.ln_2", value), 4 * width, "cross.mlp.c_fc", "cross.mlp.c_proj")
        return tape.add("residual", value, inner)

    x = Value(samples * tokens, width, has_gradient=True)
    x = tape.layers("text_decoder.resblocks", [None] * part.integer("layers"), layer, x)
    tape.block("decoder head", x)
    x = tape.norm("text_decoder.ln_final", x)
    tape.linear("text_decoder.text_projection", x, part.integer("vocab_size", 49408), is_embedding=True)


def _hf_text(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    tape.block("text")
    x = _hf_encoded(tape, shape, settings)
    tape.block("text head", x)
    x = tape.reshaped(x, shape.samples, x.width)
    if settings.text("hf_proj_type", "mlp") == "mlp":
        x = tape.activation("gelu", tape.linear("proj.0", x, (x.width + dim) // 2))
        tape.linear("proj.2", x, dim)
    else:
        tape.linear("proj", x, dim)


def _hf_encoded(tape: Tape, shape: BatchShape, settings: Settings) -> Value:
    name = _hf_name(settings)
    if name in _NLLB:
        return _nllb(tape, shape, *_NLLB[name])
    if name not in {"roberta-base", "xlm-roberta-base", "xlm-roberta-large", "mt5-base", "mt5-xl"}:
        raise BadInputError(f"text_cfg.hf_model_name = {name} ({settings.source}): must be a RoBERTa, mT5 or NLLB")
    config = Settings.of(known_config(name))
    if not name.startswith("mt5"):
        return encoder_of(config).encode(tape, shape)
    model = t5_of(config)
    x = tape.lookup("shared", shape.samples * (shape.tokens or 0), model.vocabulary, model.width)
    return model.encode(tape, x, shape)


def _nllb(tape: Tape, shape: BatchShape, layers: int, inner: int) -> Value:
    """Write the encoder of M2M-100 and NLLB (Costa-jussa et al. 2022, arXiv:2207.04672)."""
    kind = PreNormLayer(Heads(16, 64), inner, _NAMES, ("self_attn_layer_norm", "final_layer_norm"), "fc1", "fc2")
    x = tape.lookup("embed_tokens", shape.samples * (shape.tokens or 0), 256_206, 1024)
    x = tape.layers("layers", [None] * layers, lambda value, _: kind.write(tape, value, shape.samples), x)
    return tape.norm("layer_norm", x)
