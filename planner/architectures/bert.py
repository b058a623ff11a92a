"""Encoders of text: BERT and RoBERTa (Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692)."""

from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value
from planner.architectures.transformer import Heads, Names, attend, perceptron

_NAMES = Names("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder with normalisation after each residual, and the head that it is trained with."""

    prefix: str
    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    token_types: int
    has_pooler: bool
    has_language_head: bool
    is_tied: bool
    head_names: tuple[str, str, str]
    """Of the language head: its product, its normalisation, and the product over the vocabulary."""

    def forward(self, tape: Tape, shape: BatchShape) -> None:
        """Write the forward pass of [samples, tokens] token ids."""
        x = self.encode(tape, shape)
        if self.has_pooler:
            tape.block("pooler", x)
            first = tape.reshaped(x, shape.samples, self.width)
            tape.activation("pooler.tanh", tape.linear(f"{self.prefix}.pooler.dense", first, self.width, bias=True))
        if self.has_language_head:
            tape.block("head", x)
            product, norm, out = self.head_names
            x = tape.activation("act", tape.linear(product, x, self.width, bias=True))
            tape.linear(
                out,
                tape.norm(norm, x),
                self.vocabulary,
                tied_to=f"{self.prefix}.embeddings.word_embeddings" if self.is_tied else None,
                is_embedding=True,
            )
            tape.weight(f"{out}.bias", self.vocabulary, is_embedding=True)

    def encode(self, tape: Tape, shape: BatchShape) -> Value:
        """Write embedding and layers, and return the last layer's output."""
        rows = shape.samples * (shape.tokens or 0)
        tape.block("embedding")
        x = tape.lookup(f"{self.prefix}.embeddings.word_embeddings", rows, self.vocabulary, self.width)
        for name, entries in (("token_type", self.token_types), ("position", self.positions)):
            table = tape.lookup(f"{self.prefix}.embeddings.{name}_embeddings", rows, entries, self.width)
            x = tape.add("embedded", x, table)
        x = tape.norm(f"{self.prefix}.embeddings.LayerNorm", x)
        heads = Heads(self.heads, self.width // self.heads)

        def layer(value: Value, _: object) -> Value:
            inner = attend(tape, value, _NAMES, heads, shape.samples)
            value = tape.norm("attention.output.LayerNorm", tape.add("residual", value, inner))
            inner = perceptron(tape, value, self.inner, "intermediate.dense", "output.dense")
            return tape.norm("output.LayerNorm", tape.add("residual", value, inner))

        x = tape.layers(f"{self.prefix}.encoder.layer", [None] * self.layers, layer, x)
        tape.block("")
        return x


def encoder_of(settings: Settings) -> Encoder:
    """Return the encoder of a config.json. Raises BadInputError."""
    kind = settings.text("model_type", "bert")
    head = next(iter(settings.several("architectures")), "ForMaskedLM")
    is_roberta = kind != "bert"
    transform = "cls.predictions.transform"
    return Encoder(
        "roberta" if is_roberta else "bert",
        settings.integer("hidden_size"),
        settings.integer("num_hidden_layers"),
        settings.integer("num_attention_heads"),
        settings.integer("intermediate_size"),
        settings.integer("vocab_size"),
        settings.integer("max_position_embeddings", 512),
        settings.integer("type_vocab_size", 2),
        has_pooler=not head.endswith("ForMaskedLM"),
        has_language_head=head.endswith(("ForMaskedLM", "ForPreTraining")),
        is_tied=settings.flag("tie_word_embeddings", True),
        head_names=("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder")
        if is_roberta
        else (f"{transform}.dense", f"{transform}.LayerNorm", "cls.predictions.decoder"),
    )


def read_bert(settings: Settings) -> Model:
    """Return a BERT or RoBERTa from its config.json, with the head that `architectures` names; masked-language if none.

    Raises BadInputError.
    """
    encoder = encoder_of(settings)
    tokens = encoder.positions - (2 if encoder.prefix == "roberta" else 0)
    return Model(settings.text("name", encoder.prefix), encoder.forward, BatchShape(tokens=tokens))
