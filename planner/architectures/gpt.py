"""Decoders before Llama: GPT-2 (and GPT-3, by size), GPT-NeoX (Pythia), OPT.

Radford et al. 2019; Black et al. 2022, arXiv:2204.06745; Zhang et al. 2022, arXiv:2205.01068.
"""

from collections.abc import Callable
from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend, perceptron


@dataclass(frozen=True, slots=True)
class Stack:
    """Sizes that these decoders share."""

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    is_tied: bool
    bias: bool = True

    @property
    def head_width(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    def attend_fused(self, tape: Tape, x: Value, samples: int, fused: str, out: str) -> Value:
        """Write causal attention whose queries, keys and values are one product."""
        together = tape.linear(fused, x, 3 * self.width, bias=self.bias)
        queries, keys, values = tape.sliced(together, self.width, self.width, self.width)
        mixed = tape.attention(queries, keys, values, heads=self.heads, samples=samples, is_causal=True)
        return tape.linear(out, mixed, self.width, bias=self.bias)


def read_gpt2(settings: Settings) -> Model:
    """Return a GPT-2 from its config.json. Raises BadInputError."""
    width = settings.integer("n_embd", also=("hidden_size",))
    stack = Stack(
        width,
        settings.integer("n_layer", also=("num_hidden_layers",)),
        settings.integer("n_head", also=("num_attention_heads",)),
        settings.integer("n_inner", 4 * width),
        settings.integer("vocab_size", 50257),
        settings.integer("n_positions", 1024, also=("max_position_embeddings",)),
        settings.flag("tie_word_embeddings", True),
    )

    def forward(tape: Tape, shape: BatchShape) -> None:
        tokens = shape.tokens or 0
        tape.block("embedding")
        x = tape.lookup("transformer.wte", shape.samples * tokens, stack.vocabulary, width)
        x = tape.add("embedded", x, tape.lookup("transformer.wpe", tokens, stack.positions, width))

        def layer(value: Value, _: object) -> Value:
            inner = tape.norm("ln_1", value)
            value = tape.add(
                "residual", value, stack.attend_fused(tape, inner, shape.samples, "attn.c_attn", "attn.c_proj")
            )
            inner = perceptron(tape, tape.norm("ln_2", value), stack.inner, "mlp.c_fc", "mlp.c_proj")
            return tape.add("residual", value, inner)

        x = tape.layers("transformer.h", [None] * stack.layers, layer, x)
        _head(tape, x, "transformer.ln_f", "lm_head", "transformer.wte", stack)

    return _model(settings, forward, stack)


def read_neox(settings: Settings) -> Model:
    """Return a GPT-NeoX, such as Pythia, from its config.json. Raises BadInputError."""
    stack = _stack(settings, is_tied=settings.flag("tie_word_embeddings"), bias=settings.flag("attention_bias", True))

    def forward(tape: Tape, shape: BatchShape) -> None:
        tape.block("embedding")
        x = tape.lookup("gpt_neox.embed_in", shape.samples * (shape.tokens or 0), stack.vocabulary, stack.width)

        def layer(value: Value, _: object) -> Value:
            mixed = tape.norm("input_layernorm", value)
            mixed = stack.attend_fused(tape, mixed, shape.samples, "attention.query_key_value", "attention.dense")
            inner = value if settings.flag("use_parallel_residual", True) else tape.add("residual", value, mixed)
            inner = tape.norm("post_attention_layernorm", inner)
            inner = perceptron(tape, inner, stack.inner, "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
            return tape.add("residual", tape.add("residual", value, mixed), inner)

        x = tape.layers("gpt_neox.layers", [None] * stack.layers, layer, x)
        _head(tape, x, "gpt_neox.final_layer_norm", "embed_out", "gpt_neox.embed_in", stack)

    return _model(settings, forward, stack)


def read_opt(settings: Settings) -> Model:
    """Return an OPT from its config.json. Raises BadInputError."""
    stack = _stack(settings, is_tied=settings.flag("tie_word_embeddings", True), inner="ffn_dim")
    names = Names("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
    heads = Heads(stack.heads, stack.head_width, is_causal=True)
    outer = settings.integer("word_embed_proj_dim", stack.width)

    def forward(tape: Tape, shape: BatchShape) -> None:
        rows = shape.samples * (shape.tokens or 0)
        tape.block("embedding")
        x = tape.lookup("model.decoder.embed_tokens", rows, stack.vocabulary, outer)
        if outer != stack.width:
            x = tape.linear("model.decoder.project_in", x, stack.width)
        x = tape.add(
            "embedded", x, tape.lookup("model.decoder.embed_positions", rows, stack.positions + 2, stack.width)
        )

        def layer(value: Value, _: object) -> Value:
            inner = attend(tape, tape.norm("self_attn_layer_norm", value), names, heads, shape.samples)
            value = tape.add("residual", value, inner)
            inner = perceptron(tape, tape.norm("final_layer_norm", value), stack.inner, "fc1", "fc2")
            return tape.add("residual", value, inner)

        x = tape.layers("model.decoder.layers", [None] * stack.layers, layer, x)
        tape.block("head", x)
        if settings.flag("do_layer_norm_before", True):
            x = tape.norm("model.decoder.final_layer_norm", x)
        if outer != stack.width:
            x = tape.linear("model.decoder.project_out", x, outer)
        tied_to = "model.decoder.embed_tokens" if stack.is_tied else None
        tape.linear("lm_head", x, stack.vocabulary, tied_to=tied_to, is_embedding=True)

    return _model(settings, forward, stack)


def _stack(settings: Settings, *, is_tied: bool, bias: bool = True, inner: str = "intermediate_size") -> Stack:
    return Stack(
        settings.integer("hidden_size"),
        settings.integer("num_hidden_layers"),
        settings.integer("num_attention_heads"),
        settings.integer(inner),
        settings.integer("vocab_size"),
        settings.integer("max_position_embeddings", 2048),
        is_tied,
        bias,
    )


def _head(tape: Tape, x: Value, norm: str, name: str, table: str, stack: Stack) -> None:
    tape.block("head", x)
    tied_to = table if stack.is_tied else None
    tape.linear(name, tape.norm(norm, x), stack.vocabulary, tied_to=tied_to, is_embedding=True)


def _model(settings: Settings, forward: Callable[[Tape, BatchShape], None], stack: Stack) -> Model:
    name = settings.text("name", settings.text("model_type", "gpt"))
    return Model(name, forward, BatchShape(tokens=stack.positions))
