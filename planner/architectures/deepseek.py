"""DeepSeek V2 and V3: latent attention, a dense beginning, then many small experts beside shared ones.

DeepSeek-AI 2024, arXiv:2405.04434 (attention: equations 9 to 19) and arXiv:2412.19437. Keys and values are expanded
from their latents before attention, as in training.
"""

from dataclasses import dataclass

from planner.architectures.experts import Experts, expert_perceptron, gated_perceptron
from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention: queries of `nope` + `rope` per head, keys and values from one latent."""

    heads: int
    query_rank: int | None
    kv_rank: int
    nope: int
    rope: int
    value: int
    bias: bool

    def write(self, tape: Tape, x: Value, samples: int) -> Value:
        """Write the attention of one layer."""
        queries = self._queries(tape, x)
        latent = tape.linear("self_attn.kv_a_proj_with_mqa", x, self.kv_rank + self.rope, bias=self.bias)
        latent, shared = tape.sliced(latent, self.kv_rank, self.rope)
        latent = tape.norm("self_attn.kv_a_layernorm", latent, bias=False)
        expanded = tape.linear("self_attn.kv_b_proj", latent, self.heads * (self.nope + self.value))
        keys, values = tape.sliced(expanded, self.heads * self.nope, self.heads * self.value)
        keys = tape.concatenated(keys, tape.rotate(shared), width=self.heads * (self.nope + self.rope))
        mixed = tape.attention(tape.rotate(queries), keys, values, heads=self.heads, samples=samples, is_causal=True)
        return tape.linear("self_attn.o_proj", mixed, x.width, bias=self.bias)

    def _queries(self, tape: Tape, x: Value) -> Value:
        width = self.heads * (self.nope + self.rope)
        if self.query_rank is None:
            return tape.linear("self_attn.q_proj", x, width)
        latent = tape.linear("self_attn.q_a_proj", x, self.query_rank, bias=self.bias)
        latent = tape.norm("self_attn.q_a_layernorm", latent, bias=False)
        return tape.linear("self_attn.q_b_proj", latent, width)


@dataclass(frozen=True, slots=True)
class DeepSeek:
    """A decoder of DeepSeek V2 or V3."""

    width: int
    vocabulary: int
    attention: LatentAttention
    dense_width: int
    layers: tuple[Experts | None, ...]
    """The mixture of each layer; None where it is dense."""
    is_tied: bool

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, tokens] token ids to logits."""
        tape.block("embedding")
        x = tape.lookup("model.embed_tokens", shape.samples * (shape.tokens or 0), self.vocabulary, self.width)

        def layer(value: Value, kind: object) -> Value:
            assert kind is None or isinstance(kind, Experts)
            inner = tape.norm("input_layernorm", value, bias=False)
            value = tape.add("residual", value, self.attention.write(tape, inner, shape.samples))
            inner = tape.norm("post_attention_layernorm", value, bias=False)
            if kind is None:
                inner = gated_perceptron(tape, "mlp", inner, self.dense_width)
            else:
                inner = expert_perceptron(tape, inner, kind)
            return tape.add("residual", value, inner)

        x = tape.layers("model.layers", self.layers, layer, x)
        tape.block("head", x)
        x = tape.norm("model.norm", x, bias=False)
        tape.linear(
            "lm_head", x, self.vocabulary, tied_to="model.embed_tokens" if self.is_tied else None, is_embedding=True
        )


def read_deepseek(settings: Settings) -> Model:
    """Return a DeepSeek V2 or V3 from its config.json. Raises BadInputError."""
    width = settings.integer("moe_intermediate_size", 1407)
    experts = Experts(
        settings.integer("n_routed_experts", also=("num_local_experts",)),
        settings.integer("num_experts_per_tok"),
        width,
        shared_width=width * settings.integer("n_shared_experts", 1),
        shared="mlp.shared_experts",
    )
    dense = settings.integer("first_k_dense_replace", 0)
    attention = LatentAttention(
        settings.integer("num_attention_heads"),
        settings.integer("q_lora_rank") if "q_lora_rank" in settings else None,
        settings.integer("kv_lora_rank"),
        settings.integer("qk_nope_head_dim"),
        settings.integer("qk_rope_head_dim"),
        settings.integer("v_head_dim"),
        settings.flag("attention_bias"),
    )
    model = DeepSeek(
        settings.integer("hidden_size"),
        settings.integer("vocab_size"),
        attention,
        settings.integer("intermediate_size"),
        tuple(None if at < dense else experts for at in range(settings.integer("num_hidden_layers"))),
        settings.flag("tie_word_embeddings"),
    )
    tokens = settings.integer("max_position_embeddings", 4096)
    return Model(
        settings.text("name", settings.text("model_type", "deepseek")), model.forward, BatchShape(tokens=tokens)
    )
