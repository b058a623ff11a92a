"""What the transformers that are not after Llama share: attention and perceptrons by the names of their weights."""

from dataclasses import dataclass

from planner.architectures.tape import Tape, Value


@dataclass(frozen=True, slots=True)
class Names:
    """What the four products of an attention are called."""

    queries: str
    keys: str
    values: str
    out: str


@dataclass(frozen=True, slots=True)
class Heads:
    """How an attention is divided, which of its products have a bias, and what it sees."""

    number: int
    width: int
    bias: bool = True
    out_bias: bool = True
    is_causal: bool = False


def attend(tape: Tape, x: Value, names: Names, heads: Heads, samples: int, *, context: Value | None = None) -> Value:
    """Write attention of `x` to itself, or to `context`; the output has the width of `x`."""
    inner = heads.number * heads.width
    source = x if context is None else context
    queries = tape.linear(names.queries, x, inner, bias=heads.bias)
    keys = tape.linear(names.keys, source, inner, bias=heads.bias)
    values = tape.linear(names.values, source, inner, bias=heads.bias)
    mixed = tape.attention(queries, keys, values, heads=heads.number, samples=samples, is_causal=heads.is_causal)
    return tape.linear(names.out, mixed, x.width, bias=heads.out_bias)


def perceptron(tape: Tape, x: Value, width: int, up: str, down: str, *, bias: bool = True) -> Value:
    """Write down(act(up x))."""
    inner = tape.activation("act", tape.linear(up, x, width, bias=bias))
    return tape.linear(down, inner, x.width, bias=bias)
