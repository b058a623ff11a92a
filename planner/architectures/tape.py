"""A forward pass written down instead of run: what each operation costs in both directions, and what it keeps.

A reader describes a model by calling a Tape as it would call torch. The tape knows for every value whether a gradient
has to reach it, by autograd's own rule (it does when a trained weight went into it), so that frozen parts, adapters and
first layers come out as torch computes them, and what each operation adds to what is kept for the backward pass.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from planner.architectures.operations import Block, Kind, Operation, Product
from planner.architectures.tuning import FULL, Tuning


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An activation: [..., width] with `rows` vectors. `has_gradient`: whether a gradient has to reach it."""

    rows: int
    width: int
    has_gradient: bool

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return self.rows * self.width


@dataclass
class _Open:
    """The block that is being written."""

    name: str
    input_elements: int
    is_layer: bool
    prefix: str
    operations: list[Operation] = field(default_factory=list)


class Tape:
    """Writes down one forward pass. Names are those of the weights in the model that is described."""

    def __init__(self, tuning: Tuning = FULL) -> None:
        self.tuning = tuning
        self._blocks: list[Block] = []
        self._open = _Open("", 0, is_layer=False, prefix="")
        self._kept: set[Value] = set()

    # --- blocks

    def block(self, name: str, value: Value | None = None, *, is_layer: bool = False, prefix: str = "") -> None:
        """Begin a block; what was written before becomes one. `prefix` is put before the names of its weights."""
        self._close()
        self._open = _Open(name, 0 if value is None else value.elements, is_layer, prefix)

    def layers(
        self, prefix: str, kinds: Sequence[Hashable], layer: Callable[[Value, Hashable], Value], value: Value
    ) -> Value:
        """Write a stack of layers, `layer(value, kind)` for each of `kinds`, and return the value after the last.

        Equal neighbours become one block that repeats. Layers of one kind that get alike inputs are described once,
        unless what is trained may differ between them.
        """
        known: dict[tuple[Hashable, bool, int, int], tuple[tuple[Operation, ...], Value]] = {}
        for number, kind in enumerate(kinds):
            name = f"{prefix}.{number}"
            key = (kind, value.has_gradient, value.rows, value.width)
            if key in known and self.tuning.is_uniform:
                operations, after = known[key]
                self._close()
                self._append(Block(_name(prefix), 1, operations, value.elements, is_layer=True))
                value = replace(after)
                continue
            self.block(_name(prefix), value, is_layer=True, prefix=f"{name}.")
            value = layer(value, kind)
            known[key] = (tuple(self._open.operations), value)
        self.block("")
        return value

    def blocks(self) -> tuple[Block, ...]:
        """Return what was written, in the order of execution."""
        self._close()
        self._open = _Open("", 0, is_layer=False, prefix="")
        return tuple(self._blocks)

    def _close(self) -> None:
        done = self._open
        if done.operations:
            self._append(Block(done.name, 1, tuple(done.operations), done.input_elements, is_layer=done.is_layer))
            done.operations = []

    def _append(self, block: Block) -> None:
        last = self._blocks[-1] if self._blocks else None
        if last is not None and block.is_layer and replace(last, repeat=1) == block:
            self._blocks[-1] = replace(last, repeat=last.repeat + 1)
        else:
            self._blocks.append(block)

    def write(self, operation: Operation) -> None:
        """Write an operation that was counted otherwise into the block that is open."""
        self._open.operations.append(operation)

    def trains(self, name: str) -> bool:
        """Return whether the weights called `name`, in the block that is being written, are trained."""
        return self.tuning.trains(self._open.prefix + name)

    def keep(self, value: Value) -> int:
        """Return how many elements are newly kept for the backward pass when `value` is."""
        if value in self._kept:
            return 0
        self._kept.add(value)
        return value.elements

    # --- values and operations

    def given(self, rows: int, width: int) -> Value:
        """Return what the batch holds: pixels, features, times. No gradient is asked for."""
        return Value(rows, width, has_gradient=False)

    def lookup(self, name: str, rows: int, entries: int, width: int, *, is_embedding: bool = True) -> Value:
        """Write a look-up of `rows` rows in a table [entries, width]."""
        trainable = self.trains(name)
        self.write(
            Operation(
                name, Kind.LOOKUP, parameters=entries * width, active_parameters=entries * width, trainable=trainable,
                input_elements=rows, output_elements=rows * width, is_embedding=is_embedding,
            )
        )  # fmt: skip
        return Value(rows, width, trainable)

    def look_again(self, name: str, rows: int, width: int) -> Value:
        """Write a look-up in a table whose parameters were counted at its first use."""
        self.write(Operation(name, Kind.LOOKUP, input_elements=rows, output_elements=rows * width, is_embedding=True))
        return Value(rows, width, self.trains(name))

    def hold(self, name: str, value: Value) -> None:
        """Write that `value` is kept for the backward passes of all that comes after."""
        self.write(Operation(name, Kind.ELEMENTWISE, saved_elements=self.keep(value) if value.has_gradient else 0))

    def weight(self, name: str, elements: int, *, is_embedding: bool = False) -> bool:
        """Write parameters that stand alone (a token, a scale), and return whether they are trained."""
        trainable = self.trains(name)
        self.write(
            Operation(
                name, Kind.ELEMENTWISE, parameters=elements, active_parameters=elements, trainable=trainable,
                output_elements=elements, is_embedding=is_embedding,
            )
        )  # fmt: skip
        return trainable

    def linear(
        self,
        name: str,
        x: Value,
        width: int,
        *,
        bias: bool = False,
        tied_to: str | None = None,
        is_embedding: bool = False,
    ) -> Value:
        """Write x @ W + b, with W [x.width, width].

        Args:
            name: of the weights, and of the adapter's target.
            x: [rows, x.width].
            width: of the output.
            bias: whether there is b.
            tied_to: the full name under which the weights were counted, and are trained, if they were.
            is_embedding: over the vocabulary.
        """
        parameters = x.width * width + (width if bias else 0) if tied_to is None else 0
        trainable = self.trains(name) if tied_to is None else self.tuning.trains(tied_to)
        out = self._matmul(name, x, width, (parameters, parameters), trainable=trainable, is_embedding=is_embedding)
        rank = self.tuning.rank(self._open.prefix + name)
        return out if rank is None else self._adapted(name, x, out, rank)

    def experts_linear(self, name: str, x: Value, width: int, number: int, active: int) -> Value:
        """Write x @ W[e], where a row of x has one of `number` experts e, and a token `active` rows."""
        weights = x.width * width
        return self._matmul(name, x, width, (number * weights, active * weights), trainable=self.trains(name))

    def _matmul(
        self, name: str, x: Value, width: int, weights: tuple[int, int], *, trainable: bool, is_embedding: bool = False
    ) -> Value:
        parameters, active = weights
        out = Value(x.rows, width, x.has_gradient or trainable)
        product = Product(x.rows, x.width, width)
        flops = product.flops
        self.write(
            Operation(
                name, Kind.MATMUL, flops,
                input_gradient_flops=flops if x.has_gradient else 0,
                weight_gradient_flops=flops if trainable else 0,
                parameters=parameters, active_parameters=active, trainable=trainable,
                input_elements=x.elements, output_elements=out.elements,
                saved_elements=self.keep(x) if trainable else 0, products=(product,), is_embedding=is_embedding,
            )
        )  # fmt: skip
        return out

    def _adapted(self, name: str, x: Value, out: Value, rank: int) -> Value:
        inner = self._adapter(f"{name}.lora_A", x, rank)
        self._adapter(f"{name}.lora_B", inner, out.width)
        return Value(out.rows, out.width, has_gradient=True)

    def _adapter(self, name: str, x: Value, width: int) -> Value:
        product = Product(x.rows, x.width, width)
        self.write(
            Operation(
                name, Kind.MATMUL, product.flops, product.flops if x.has_gradient else 0, product.flops,
                parameters=x.width * width, active_parameters=x.width * width, input_elements=x.elements,
                output_elements=x.rows * width, saved_elements=self.keep(x), products=(product,),
            )
        )  # fmt: skip
        return Value(x.rows, width, has_gradient=True)

    def attention(
        self,
        queries: Value,
        keys: Value,
        values: Value,
        *,
        heads: int,
        samples: int,
        is_causal: bool = False,
        window: int | None = None,
    ) -> Value:
        """Write softmax(Q K^T) V. `queries.width` is heads · head width; keys and values have as many rows per head.

        Keys and values of fewer heads (grouped queries) are given with the width of their own heads: scores are
        computed for every query head all the same.
        """
        query_rows, key_rows = queries.rows // samples, keys.rows // samples
        scores = Product(query_rows, queries.width // heads, key_rows, batch=samples * heads)
        value_width = self._value_width(queries, keys, values, heads)
        mixed = Product(query_rows, key_rows, value_width, batch=samples * heads)
        has_scores = queries.has_gradient or keys.has_gradient
        gradient = scores.flops * (queries.has_gradient + keys.has_gradient)
        gradient += mixed.flops * (has_scores + values.has_gradient)
        out = Value(queries.rows, heads * value_width, has_scores or values.has_gradient)
        saved = 0
        if out.has_gradient:
            saved = sum(self.keep(value) for value in (queries, keys, values, out)) + heads * queries.rows
        self.write(
            Operation(
                "attention", Kind.ATTENTION, scores.flops + mixed.flops, gradient,
                input_elements=queries.elements + keys.elements + values.elements, output_elements=out.elements,
                saved_elements=saved, products=(scores, mixed), is_causal=is_causal, window=window,
            )
        )  # fmt: skip
        return out

    def _value_width(self, queries: Value, keys: Value, values: Value, heads: int) -> int:
        """Return the width of a value head: keys tell how many heads there are for them."""
        kv_heads = keys.width // (queries.width // heads)
        return values.width // kv_heads

    def convolution(
        self,
        name: str,
        x: Value,
        width: int,
        *,
        kernel: Sequence[int],
        rows: int,
        groups: int = 1,
        bias: bool = True,
    ) -> Value:
        """Write a convolution from x [positions, channels] to `rows` positions of `width` channels (over the batch)."""
        inner = x.width // groups * prod(kernel)
        product = Product(rows, inner, width // groups, batch=groups)
        flops = product.flops
        trainable = self.trains(name)
        parameters = inner * width + (width if bias else 0)
        out = Value(rows, width, x.has_gradient or trainable)
        self.write(
            Operation(
                name, Kind.CONVOLUTION, flops,
                input_gradient_flops=flops if x.has_gradient else 0,
                weight_gradient_flops=flops if trainable else 0,
                parameters=parameters, active_parameters=parameters, trainable=trainable,
                input_elements=x.elements, output_elements=out.elements,
                saved_elements=self.keep(x) if trainable else 0, products=(product,),
            )
        )  # fmt: skip
        return out

    def norm(self, name: str, x: Value, *, bias: bool = True, scale: bool = True) -> Value:
        """Write a normalisation of rows (or groups): LayerNorm with a bias, RMSNorm without."""
        parameters = x.width * (scale + (scale and bias))
        trainable = parameters > 0 and self.trains(name)
        return self._elementwise(name, x, parameters=parameters, trainable=trainable)

    def head_norm(self, name: str, x: Value, width: int) -> Value:
        """Write RMSNorm of each head of `width`, with one scale for all heads."""
        return self._elementwise(name, x, parameters=width, trainable=self.trains(name))

    def rotate(self, x: Value) -> Value:
        """Write rotary positions (Su et al. 2021, arXiv:2104.09864), which keep nothing of their input."""
        out = Value(x.rows, x.width, x.has_gradient)
        self.write(Operation("rotary", Kind.ELEMENTWISE, input_elements=x.elements, output_elements=out.elements))
        return out

    def activation(self, name: str, x: Value, *, width: int | None = None) -> Value:
        """Write a function of each element, which keeps its input."""
        return self._elementwise(name, x, width=width)

    def _elementwise(
        self, name: str, x: Value, *, width: int | None = None, parameters: int = 0, trainable: bool = False
    ) -> Value:
        out = Value(x.rows, width or x.width, x.has_gradient or trainable)
        self.write(
            Operation(
                name, Kind.ELEMENTWISE, parameters=parameters, active_parameters=parameters,
                trainable=trainable if parameters else True, input_elements=x.elements, output_elements=out.elements,
                saved_elements=self.keep(x) if out.has_gradient else 0,
            )
        )  # fmt: skip
        return out

    def multiply(self, name: str, a: Value, b: Value) -> Value:
        """Write a * b, elementwise; each factor is kept for the other's gradient."""
        out = Value(max(a.rows, b.rows), max(a.width, b.width), a.has_gradient or b.has_gradient)
        saved = (self.keep(b) if a.has_gradient else 0) + (self.keep(a) if b.has_gradient else 0)
        self.write(
            Operation(
                name, Kind.ELEMENTWISE, input_elements=a.elements + b.elements, output_elements=out.elements,
                saved_elements=saved,
            )
        )  # fmt: skip
        return out

    def add(self, name: str, a: Value, b: Value) -> Value:
        """Write a + b, which keeps nothing."""
        out = Value(a.rows, a.width, a.has_gradient or b.has_gradient)
        self.write(
            Operation(
                name, Kind.ELEMENTWISE, input_elements=a.elements + b.elements, output_elements=out.elements
            )
        )  # fmt: skip
        return out

    def product(self, name: str, kind: Kind, product: Product, *parts: Value) -> Value:
        """Write a product of two activations (a gradient for each that needs one), or of none that is trained."""
        number = sum(part.has_gradient for part in parts)
        saved = sum(self.keep(part) for part in parts) if number else 0
        self.write(
            Operation(
                name, kind, product.flops, number * product.flops,
                input_elements=product.batch * (product.rows + product.columns) * product.inner,
                output_elements=product.batch * product.rows * product.columns, saved_elements=saved,
                products=(product,),
            )
        )  # fmt: skip
        return Value(product.batch * product.rows, product.columns, number > 0)

    def sliced(self, x: Value, *widths: int) -> list[Value]:
        """Return parts of `x` along its width: views, which cost nothing."""
        return [Value(x.rows, width, x.has_gradient) for width in widths]

    def concatenated(self, *parts: Value, width: int) -> Value:
        """Return the parts side by side, repeated where needed, as one new value of `width`."""
        return Value(parts[0].rows, width, any(part.has_gradient for part in parts))

    def reshaped(self, x: Value, rows: int, width: int) -> Value:
        """Return `x` seen (or pooled, or padded) as [rows, width]."""
        return Value(rows, width, x.has_gradient)


def _name(prefix: str) -> str:
    return prefix.rpartition(".")[2] if "." in prefix else prefix
