"""State-space models: Mamba (Gu and Dao 2023, arXiv:2312.00752) and Mamba 2 (Dao and Gu 2024, arXiv:2405.21060)."""

from dataclasses import dataclass

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape, Kind, Product
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value


@dataclass(frozen=True, slots=True)
class Mixer:
    """The first Mamba's mixer: a short convolution, and a scan whose step, B and C depend on the input."""

    inner: int
    state: int
    rank: int
    kernel: int
    conv_bias: bool
    bias: bool

    def write(self, tape: Tape, x: Value, samples: int) -> Value:
        """Write the mixer of one layer. Of the scan, C's product with the states is counted, as torch counts it."""
        hidden, gate = tape.sliced(
            tape.linear("mixer.in_proj", x, 2 * self.inner, bias=self.bias), self.inner, self.inner
        )
        hidden = _convolved(tape, hidden, self.kernel, samples, bias=self.conv_bias)
        parts = tape.linear("mixer.x_proj", hidden, self.rank + 2 * self.state)
        step, _, out = tape.sliced(parts, self.rank, self.state, self.state)
        step = tape.linear("mixer.dt_proj", step, self.inner)
        has_gradient = tape.weight("mixer.dt_proj.bias", self.inner) | step.has_gradient
        has_gradient |= tape.weight("mixer.A_log", self.inner * self.state) | hidden.has_gradient
        tape.weight("mixer.D", self.inner)
        states = Value(x.rows, self.inner, has_gradient)
        scan = Product(self.inner, self.state, 1, batch=x.rows)
        scanned = tape.reshaped(tape.product("mixer.scan", Kind.SCAN, scan, states, out), x.rows, self.inner)
        return tape.linear("mixer.out_proj", tape.multiply("mixer.gated", scanned, gate), x.width, bias=self.bias)


@dataclass(frozen=True, slots=True)
class ChunkedMixer:
    """Mamba 2's mixer: one decay per head, computed in chunks of positions as products of matrices."""

    inner: int
    state: int
    heads: int
    groups: int
    kernel: int
    chunk: int
    conv_bias: bool
    bias: bool

    def write(self, tape: Tape, x: Value, samples: int) -> Value:
        """Write the mixer of one layer."""
        shared = self.groups * self.state
        projected = tape.linear("mixer.in_proj", x, 2 * self.inner + 2 * shared + self.heads, bias=self.bias)
        gate, hidden, step = tape.sliced(projected, self.inner, self.inner + 2 * shared, self.heads)
        has_step = tape.weight("mixer.dt_bias", self.heads) | step.has_gradient
        hidden = _convolved(tape, hidden, self.kernel, samples, bias=self.conv_bias)
        has_decay = tape.weight("mixer.A_log", self.heads) | has_step
        tape.weight("mixer.D", self.heads)
        values, keys, queries = tape.sliced(hidden, self.inner, shared, shared)
        scanned = self._scan(tape, values, keys, queries, samples, has_step=has_step, has_decay=has_decay)
        gated = tape.multiply("mixer.gated", scanned, gate)
        return tape.linear("mixer.out_proj", tape.norm("mixer.norm", gated, bias=False), x.width, bias=self.bias)

    def _scan(
        self, tape: Tape, values: Value, keys: Value, queries: Value, samples: int, *, has_step: bool, has_decay: bool
    ) -> Value:
        chunks = -(-(values.rows // samples) // self.chunk)
        width, batch, size, state = self.inner // self.heads, samples * chunks * self.heads, self.chunk, self.state
        values = Value(values.rows, values.width, values.has_gradient or has_step)
        decayed = Value(keys.rows, keys.width, keys.has_gradient or has_decay)
        within = tape.product("mixer.scores", Kind.SCAN, Product(size, state, size, batch), queries, keys)
        weights = Value(within.rows, size, within.has_gradient or has_decay)
        tape.product("mixer.diagonal", Kind.SCAN, Product(size, size, width, batch), weights, values)
        states = tape.product("mixer.states", Kind.SCAN, Product(width, size, state, batch), decayed, values)
        decay = Value(samples * self.heads * (chunks + 1), chunks + 1, has_decay)
        between = Product(chunks + 1, chunks + 1, width * state, samples * self.heads)
        carried = tape.product("mixer.between", Kind.SCAN, between, decay, states)
        tape.product("mixer.off_diagonal", Kind.SCAN, Product(size, state, width, batch), queries, carried)
        return Value(values.rows, self.inner, values.has_gradient or carried.has_gradient)


def _convolved(tape: Tape, x: Value, kernel: int, samples: int, *, bias: bool) -> Value:
    """Write the depthwise convolution, padded on both sides and cut: `kernel` - 1 more positions are computed."""
    rows = x.rows + samples * (kernel - 1)
    wide = tape.convolution("mixer.conv1d", x, x.width, kernel=(kernel,), rows=rows, groups=x.width, bias=bias)
    return tape.activation("mixer.act", tape.reshaped(wide, x.rows, x.width))


def read_mamba(settings: Settings) -> Model:
    """Return a Mamba or Mamba 2 from its config.json. Raises BadInputError."""
    width = settings.integer("hidden_size")
    inner = int(settings.number("expand", 2) * width)
    kernel, conv_bias, bias = (
        settings.integer("conv_kernel", 4),
        settings.flag("use_conv_bias", True),
        settings.flag("use_bias"),
    )
    kind = settings.text("model_type", "mamba")
    mixer: Mixer | ChunkedMixer
    if kind == "mamba2":
        mixer = ChunkedMixer(
            inner, settings.integer("state_size", 128), settings.integer("num_heads"), settings.integer("n_groups", 8),
            kernel, settings.integer("chunk_size", 256), conv_bias, bias,
        )  # fmt: skip
    else:
        given = settings.values.get("time_step_rank", "auto")
        rank = -(-width // 16) if given == "auto" else settings.integer("time_step_rank")
        mixer = Mixer(
            settings.integer("intermediate_size", inner),
            settings.integer("state_size", 16),
            rank,
            kernel,
            conv_bias,
            bias,
        )
    vocabulary, number = settings.integer("vocab_size"), settings.integer("num_hidden_layers")
    is_tied = settings.flag("tie_word_embeddings", kind != "mamba2")

    def forward(tape: Tape, shape: BatchShape) -> None:
        tape.block("embedding")
        x = tape.lookup("backbone.embeddings", shape.samples * (shape.tokens or 0), vocabulary, width)

        def layer(value: Value, _: object) -> Value:
            return tape.add("residual", value, mixer.write(tape, tape.norm("norm", value, bias=False), shape.samples))

        x = tape.layers("backbone.layers", [None] * number, layer, x)
        tape.block("head", x)
        x = tape.norm("backbone.norm_f", x, bias=False)
        tape.linear("lm_head", x, vocabulary, tied_to="backbone.embeddings" if is_tied else None, is_embedding=True)

    return Model(settings.text("name", kind), forward, BatchShape(tokens=2048))
