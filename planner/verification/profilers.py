"""What fvcore's counter, by which timm and LAION made their tables, counts beside products: norms.

Its numbers are MACs, to which it adds five for each element that a layer norm reads and two for a batch norm.
"""

from collections.abc import Sequence

from planner.architectures.operations import Block, Kind

_PER_ELEMENT, _PER_ELEMENT_OF_BATCH_NORM = 5, 2


def fvcore_macs(blocks: Sequence[Block], *, has_batch_norm: bool = False) -> float:
    """Return what fvcore counts for a forward pass."""
    pairs = [(block.repeat, operation) for block in blocks for operation in block.operations]
    per_element = _PER_ELEMENT_OF_BATCH_NORM if has_batch_norm else _PER_ELEMENT
    normalised = sum(
        repeat * one.input_elements
        for repeat, one in pairs
        if one.kind is Kind.ELEMENTWISE and one.parameters and ("norm" in one.name or "ln_" in one.name)
    )
    return sum(repeat * one.forward_flops for repeat, one in pairs) / 2 + per_element * normalised
