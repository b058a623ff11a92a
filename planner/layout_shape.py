"""What of an architecture limits how it can be laid over devices, read from its operations."""

from planner.architectures.operations import Architecture, BatchShape, Kind, Operation
from planner.layout import Shape


def layout_shape(architecture: Architecture, shape: BatchShape) -> Shape:
    """Return layers, heads and experts of an architecture. Raises BadInputError for a shape that cannot be."""
    blocks = architecture.blocks(shape)
    layers = sum(block.repeat for block in blocks if block.is_layer)
    operations = [one for block in blocks if block.is_layer for one in block.operations]
    attentions = [one for one in operations if one.kind is Kind.ATTENTION and one.products]
    experts = [one for one in operations if one.products and one.active_parameters < one.parameters]
    first = attentions[0] if attentions else None
    return Shape(
        layers=layers,
        heads=None if first is None else first.products[0].batch // shape.samples,
        kv_heads=None if first is None else _kv_heads(first, shape.samples),
        experts=_experts(experts[0]) if experts else None,
        tokens=None if first is None else first.products[0].rows,
    )


def _kv_heads(attention: Operation, samples: int) -> int | None:
    """Return how many heads have keys of their own; None where keys and values are made in another way."""
    scores, mixed = attention.products
    one_head = samples * scores.columns * (scores.inner + mixed.columns)
    keys_and_values = attention.input_elements - scores.batch * scores.rows * scores.inner
    heads, rest = divmod(keys_and_values, one_head)
    return heads if heads and not rest else None


def _experts(product: Operation) -> int:
    one = product.products[0]
    return max(1, product.parameters // (one.inner * one.columns))
