"""What of an architecture time depends on, per layer and micro-batch, so that layouts are then plain arithmetic."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from planner.architectures.operations import Architecture, BatchShape, Block, Kind, Operation
from planner.memory_profile import FUSED, Kernels

Array = NDArray[np.float64]

_FLASH_BACKWARD, _EAGER_BACKWARD = 2.5, 2.0
"""Fused attention computes scores again: five products backwards for two forwards (Dao 2023, arXiv:2307.08691)."""
_EAGER_FORWARD_MOVES, _EAGER_BACKWARD_MOVES = 6.0, 8.0
"""How often attention that is not fused reads or writes every score: product, softmax, dropout, product."""


@dataclass(frozen=True, slots=True, eq=False)
class TimeProfile:
    """One row per layer in the order of execution, of one micro-batch on one device. Arrays are [rows].

    FLOPs are what an accelerator has to do: causal attention at half, backward with what fused attention repeats.
    """

    name: str
    is_layer: NDArray[np.bool_]
    matmul_forward: Array
    matmul_backward: Array
    attention_forward: Array
    attention_backward: Array
    scores: Array
    """Scores of attention, of one forward pass: each costs an exponential."""
    moved_forward: Array
    """Elements that operations without products read and write, forwards."""
    moved_backward: Array
    inputs: Array
    """Elements that one layer is given: what pipelines and tensor parallelism send."""
    dispatched: Array
    """Elements that are sent to experts."""
    dense: Array
    """Weights that tensor parallelism cuts, and those it does not."""
    expert: Array
    trained: Array
    """The fraction of the weights that is trained."""
    logits: float
    """Positions times vocabulary; 0 where the model ends otherwise."""
    model_flops: float
    """Products forwards and backwards, attention in full: what MFU is measured by (arXiv:2204.02311, appendix B)."""
    positions: int
    """Positions of one micro-batch; samples where the model has none."""

    @property
    def layers(self) -> int:
        """How many layers the stack has."""
        return int(self.is_layer.sum())

    @property
    def parameters(self) -> float:
        """All weights."""
        return float(self.dense.sum() + self.expert.sum())


def time_profile(architecture: Architecture, shape: BatchShape, kernels: Kernels = FUSED) -> TimeProfile:
    """Return the profile of one micro-batch of `shape`. Raises BadInputError for a shape that cannot be."""
    blocks = architecture.blocks(shape)
    rows = [row for block in blocks for row in [_row(block, is_eager=kernels.eager_attention)] * block.repeat]
    columns = {field.name: np.array([getattr(row, field.name) for row in rows]) for field in fields(_Row)}
    last = blocks[-1].operations[-1]
    logits = last.output_elements if last.is_embedding and last.kind is Kind.MATMUL else 0
    flops = sum(
        block.repeat * (operation.forward_flops + operation.backward_flops)
        for block in blocks
        for operation in block.operations
    )
    return TimeProfile(
        architecture.name,
        columns.pop("is_layer").astype(np.bool_),
        **{name: column.astype(np.float64) for name, column in columns.items()},
        logits=float(logits),
        model_flops=float(flops),
        positions=shape.samples * (shape.tokens or 1),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    is_layer: bool
    matmul_forward: float
    matmul_backward: float
    attention_forward: float
    attention_backward: float
    scores: float
    moved_forward: float
    moved_backward: float
    inputs: float
    dispatched: float
    dense: float
    expert: float
    trained: float


def _row(block: Block, *, is_eager: bool) -> _Row:
    products = [one for one in block.operations if one.kind is not Kind.ATTENTION]
    attentions = [one for one in block.operations if one.kind is Kind.ATTENTION]
    moving = [one for one in block.operations if one.kind in {Kind.ELEMENTWISE, Kind.LOOKUP}]
    experts = [one for one in block.operations if one.active_parameters < one.parameters]
    total = sum(one.parameters for one in block.operations)
    expert = sum(one.parameters for one in experts)
    moved = [one.input_elements + one.output_elements for one in moving]
    flops = [(1.0 if is_eager else visible_fraction(one)) * one.forward_flops for one in attentions]
    scores = sum(map(_scores, attentions))
    back = _EAGER_BACKWARD if is_eager else _FLASH_BACKWARD
    return _Row(
        is_layer=block.is_layer,
        matmul_forward=sum(one.forward_flops for one in products),
        matmul_backward=sum(one.backward_flops for one in products),
        attention_forward=sum(flops),
        attention_backward=back * sum(part for part, one in zip(flops, attentions, strict=True) if one.backward_flops),
        scores=sum(visible_fraction(one) * _scores(one) for one in attentions),
        moved_forward=sum(moved) + is_eager * _EAGER_FORWARD_MOVES * scores,
        moved_backward=2.0 * sum(moved) + is_eager * _EAGER_BACKWARD_MOVES * scores,
        inputs=block.input_elements,
        dispatched=max((one.input_elements for one in experts), default=0),
        dense=total - expert,
        expert=expert,
        trained=sum(one.parameters for one in block.operations if one.trainable) / total if total else 0.0,
    )


def visible_fraction(attention: Operation) -> float:
    """Return the part of all pairs of positions that an attention looks at: half when causal, less with a window."""
    if not attention.is_causal or not attention.products:
        return 1.0
    queries, keys = attention.products[0].rows, attention.products[0].columns
    if queries != keys:
        return 1.0
    window = min(attention.window or keys, keys)
    pairs = window * (window + 1) / 2 + (queries - window) * window
    return pairs / (queries * keys)


def _scores(attention: Operation) -> float:
    if not attention.products:
        return 0.0
    scores = attention.products[0]
    return float(scores.batch * scores.rows * scores.columns)
