"""Decoders after Llama: Llama 1 to 4, Mistral, Qwen 2 and 3, Gemma, OLMo 2, Phi 3; Mixtral and Qwen with experts.

Pre-normalised residual layers, rotary positions, grouped queries, gated perceptrons (Touvron et al. 2023,
arXiv:2302.13971; experts after Jiang et al. 2024, arXiv:2401.04088).
"""

from dataclasses import dataclass

from planner.architectures.experts import Experts, expert_perceptron, gated_perceptron, read_experts
from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value

_QKV_BIAS = {"qwen2", "qwen2_moe"}
_HEAD_NORM = {"qwen3", "qwen3_moe", "gemma3_text"}
_FULL_NORM = {"olmo2", "olmo3"}
_POST_NORM_ONLY = {"olmo2", "olmo3"}
_FOUR_NORMS = {"gemma2", "gemma3_text"}
_FUSED = {"phi3"}
_TIED = {"gemma", "gemma2", "gemma3_text"}
_WINDOWED = {"mistral", "mixtral", "phi3"}


@dataclass(frozen=True, slots=True)
class Layer:
    """What distinguishes the layers of one stack."""

    perceptron_width: int
    window: int | None = None
    experts: Experts | None = None
    has_head_norm: bool = False


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder after Llama."""

    width: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_width: int
    layers: tuple[Layer, ...]
    qkv_bias: bool = False
    out_bias: bool = False
    perceptron_bias: bool = False
    is_tied: bool = False
    is_fused: bool = False
    has_full_norm: bool = False
    """Queries and keys are normalised over all heads at once (OLMo 2)."""
    has_norm_before: bool = True
    has_norm_after: bool = False

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, tokens] token ids to logits."""
        rows = shape.samples * (shape.tokens or 0)
        tape.block("embedding")
        x = tape.lookup("model.embed_tokens", rows, self.vocabulary, self.width)

        def layer(value: Value, kind: object) -> Value:
            assert isinstance(kind, Layer)
            return self._layer(tape, value, kind, shape.samples)

        x = tape.layers("model.layers", self.layers, layer, x)
        tape.block("head", x)
        x = tape.norm("model.norm", x, bias=False)
        tape.linear(
            "lm_head", x, self.vocabulary, tied_to="model.embed_tokens" if self.is_tied else None, is_embedding=True
        )

    def _layer(self, tape: Tape, x: Value, kind: Layer, samples: int) -> Value:
        inner = tape.norm("input_layernorm", x, bias=False) if self.has_norm_before else x
        inner = self._attention(tape, inner, kind, samples)
        if self.has_norm_after:
            inner = tape.norm("post_attention_layernorm", inner, bias=False)
        x = tape.add("residual", x, inner)
        name = "pre_feedforward_layernorm" if self.has_norm_after else "post_attention_layernorm"
        inner = tape.norm(name, x, bias=False) if self.has_norm_before else x
        if kind.experts is not None:
            inner = expert_perceptron(tape, inner, kind.experts)
        elif self.is_fused:
            inner = self._fused_perceptron(tape, inner, kind.perceptron_width)
        else:
            inner = gated_perceptron(tape, "mlp", inner, kind.perceptron_width, bias=self.perceptron_bias)
        if self.has_norm_after:
            inner = tape.norm("post_feedforward_layernorm", inner, bias=False)
        return tape.add("residual", x, inner)

    def _attention(self, tape: Tape, x: Value, kind: Layer, samples: int) -> Value:
        query_width, kv_width = self.heads * self.head_width, self.kv_heads * self.head_width
        if self.is_fused:
            fused = tape.linear("self_attn.qkv_proj", x, query_width + 2 * kv_width, bias=self.qkv_bias)
            queries, keys, values = tape.sliced(fused, query_width, kv_width, kv_width)
        else:
            queries = tape.linear("self_attn.q_proj", x, query_width, bias=self.qkv_bias)
            keys = tape.linear("self_attn.k_proj", x, kv_width, bias=self.qkv_bias)
            values = tape.linear("self_attn.v_proj", x, kv_width, bias=self.qkv_bias)
        if self.has_full_norm:
            queries = tape.norm("self_attn.q_norm", queries, bias=False)
            keys = tape.norm("self_attn.k_norm", keys, bias=False)
        if kind.has_head_norm:
            queries = tape.head_norm("self_attn.q_norm", queries, self.head_width)
            keys = tape.head_norm("self_attn.k_norm", keys, self.head_width)
        queries, keys = tape.rotate(queries), tape.rotate(keys)
        mixed = tape.attention(
            queries, keys, values, heads=self.heads, samples=samples, is_causal=True, window=kind.window
        )
        return tape.linear("self_attn.o_proj", mixed, self.width, bias=self.out_bias)

    def _fused_perceptron(self, tape: Tape, x: Value, width: int) -> Value:
        gate, up = tape.sliced(tape.linear("mlp.gate_up_proj", x, 2 * width), width, width)
        inner = tape.multiply("mlp.product", tape.activation("mlp.act", gate), up)
        return tape.linear("mlp.down_proj", inner, x.width)


def read_llama(settings: Settings) -> Model:
    """Return a decoder after Llama from its config.json. Raises BadInputError."""
    kind = settings.text("model_type", "llama")
    width, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    bias = settings.flag("attention_bias")
    decoder = Decoder(
        width=width,
        vocabulary=settings.integer("vocab_size"),
        heads=heads,
        kv_heads=settings.integer("num_key_value_heads", heads),
        head_width=settings.integer("head_dim", width // heads),
        layers=_layers(settings, kind),
        qkv_bias=bias or kind in _QKV_BIAS,
        out_bias=bias,
        perceptron_bias=settings.flag("mlp_bias"),
        is_tied=settings.flag("tie_word_embeddings", kind in _TIED),
        is_fused=kind in _FUSED,
        has_full_norm=kind in _FULL_NORM,
        has_norm_before=kind not in _POST_NORM_ONLY,
        has_norm_after=kind in _POST_NORM_ONLY | _FOUR_NORMS,
    )
    tokens = settings.integer("max_position_embeddings", 2048)
    return Model(settings.text("name", kind), decoder.forward, BatchShape(tokens=tokens))


def _layers(settings: Settings, kind: str) -> tuple[Layer, ...]:
    number, dense = settings.integer("num_hidden_layers"), settings.integer("intermediate_size")
    experts = read_experts(settings, kind)
    if kind == "llama4_text":
        dense = settings.integer("intermediate_size_mlp", dense)
    has_head_norm = kind in _HEAD_NORM
    return tuple(
        Layer(dense, _window(settings, kind, at), experts.at(at) if experts else None, has_head_norm)
        for at in range(number)
    )


def _window(settings: Settings, kind: str, at: int) -> int | None:
    if "sliding_window" not in settings:
        return None
    window = settings.integer("sliding_window")
    kinds = settings.several("layer_types")
    if kinds:
        return window if kinds[at] == "sliding_attention" else None
    if kind in _WINDOWED:
        return window
    if kind == "gemma2":
        return window if at % 2 == 0 else None
    if kind == "gemma3_text":
        return window if (at + 1) % settings.integer("sliding_window_pattern", 6) else None
    if settings.flag("use_sliding_window"):
        return window if at >= settings.integer("max_window_layers", 28) else None
    return None
