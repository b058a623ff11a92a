"""Encoder and decoder of text: T5 and its gated v1.1 (Raffel et al. 2019, arXiv:1910.10683; mT5, arXiv:2010.11934)."""

from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend, perceptron


@dataclass(frozen=True, slots=True)
class T5:
    """A T5: two stacks, the second of which attends to what comes out of the first."""

    width: int
    inner: int
    heads: int
    head_width: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    buckets: int
    is_gated: bool
    is_tied: bool

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, source_tokens] and [samples, tokens] token ids to logits."""
        source, target = shape.samples * (shape.source_tokens or 0), shape.samples * (shape.tokens or 0)
        tape.block("embedding")
        x = tape.lookup("shared", source, self.vocabulary, self.width)
        encoded = self.encode(tape, x, shape)
        tape.block("decoder embedding")
        x = tape.look_again("shared", target, self.width)

        def layer(value: Value, is_first: object) -> Value:
            value = self._attention(tape, value, 0, shape.samples, is_first=bool(is_first), is_causal=True)
            value = self._attention(tape, value, 1, shape.samples, context=encoded)
            return self._perceptron(tape, value, 2)

        kinds = [at == 0 for at in range(self.decoder_layers)]
        x = tape.layers("decoder.block", kinds, layer, x)
        tape.block("head", x)
        x = tape.norm("decoder.final_layer_norm", x, bias=False)
        tape.linear("lm_head", x, self.vocabulary, tied_to="shared" if self.is_tied else None, is_embedding=True)

    def encode(self, tape: Tape, x: Value, shape: BatchShape) -> Value:
        """Write the encoder's layers and its norm, and return what the decoder attends to, which is kept once."""

        def layer(value: Value, is_first: object) -> Value:
            value = self._attention(tape, value, 0, shape.samples, is_first=bool(is_first))
            return self._perceptron(tape, value, 1)

        x = tape.layers("encoder.block", [at == 0 for at in range(self.encoder_layers)], layer, x)
        tape.block("encoder norm", x)
        encoded = tape.norm("encoder.final_layer_norm", x, bias=False)
        tape.hold("encoded", encoded)
        return encoded

    def _attention(
        self,
        tape: Tape,
        x: Value,
        at: int,
        samples: int,
        *,
        is_first: bool = False,
        is_causal: bool = False,
        context: Value | None = None,
    ) -> Value:
        name = f"layer.{at}.{'SelfAttention' if context is None else 'EncDecAttention'}"
        inner = tape.norm(f"layer.{at}.layer_norm", x, bias=False)
        if is_first:
            pairs = (x.rows // samples) ** 2
            tape.lookup(f"{name}.relative_attention_bias", pairs, self.buckets, self.heads, is_embedding=False)
        names = Names(f"{name}.q", f"{name}.k", f"{name}.v", f"{name}.o")
        heads = Heads(self.heads, self.head_width, bias=False, out_bias=False, is_causal=is_causal)
        return tape.add("residual", x, attend(tape, inner, names, heads, samples, context=context))

    def _perceptron(self, tape: Tape, x: Value, at: int) -> Value:
        inner, name = tape.norm(f"layer.{at}.layer_norm", x, bias=False), f"layer.{at}.DenseReluDense"
        if not self.is_gated:
            out = perceptron(tape, inner, self.inner, f"{name}.wi", f"{name}.wo", bias=False)
            return tape.add("residual", x, out)
        gate = tape.activation("act", tape.linear(f"{name}.wi_0", inner, self.inner))
        product = tape.multiply("product", gate, tape.linear(f"{name}.wi_1", inner, self.inner))
        return tape.add("residual", x, tape.linear(f"{name}.wo", product, x.width))


def t5_of(settings: Settings) -> T5:
    """Return the two stacks of a config.json. Raises BadInputError."""
    layers = settings.integer("num_layers")
    return T5(
        settings.integer("d_model"),
        settings.integer("d_ff"),
        settings.integer("num_heads"),
        settings.integer("d_kv", 64),
        layers,
        settings.integer("num_decoder_layers", layers),
        settings.integer("vocab_size"),
        settings.integer("relative_attention_num_buckets", 32),
        is_gated=settings.text("feed_forward_proj", "relu").startswith("gated"),
        is_tied=settings.flag("tie_word_embeddings", True),
    )


def read_t5(settings: Settings) -> Model:
    """Return a T5 from its config.json. Raises BadInputError."""
    model, tokens = t5_of(settings), settings.integer("n_positions", 512)
    name = settings.text("name", settings.text("model_type", "t5"))
    return Model(name, model.forward, BatchShape(tokens=tokens, source_tokens=tokens))
