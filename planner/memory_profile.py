"""What of an architecture memory depends on, per layer and micro-batch, so that layouts are then plain arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.architectures.operations import Architecture, BatchShape, Block, Kind, Operation

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kernels:
    """How norms, activations and attention are computed; it decides what they keep. The default: one kernel each."""

    eager_norms: bool = False
    """RMSNorm written in torch, as transformers has it: it keeps the normalised input as well."""
    activation_keeps: int = 1
    """Arrays that the perceptron's activation keeps: its input, and what it is made of where it is written in torch."""
    eager_attention: bool = False
    """Products with a softmax between, which keeps every score; else inputs, output and a sum per row are kept."""


FUSED = Kernels()
EAGER = Kernels(eager_norms=True, eager_attention=True)
_ACTIVATION_KEEPS = {"gelu_new": 4, "quick_gelu": 2}
"""Of transformers' activations those that are written in torch."""


def transformers_kernels(activation: str) -> Kernels:
    """Return the kernels of transformers' models with the default attention (SDPA), by the name of their activation."""
    return Kernels(eager_norms=True, activation_keeps=_ACTIVATION_KEEPS.get(activation, 1))


@dataclass(frozen=True, slots=True, eq=False)
class MemoryProfile:
    """One row per layer in the order of execution, of one micro-batch on one device. Arrays are [rows], in elements."""

    name: str
    is_layer: NDArray[np.bool_]
    """Whether pipelines cut around it and full recomputation applies to it."""
    dense: Array
    """Weights that every device of a tensor-parallel group cuts; without the next two."""
    expert: Array
    """Weights that expert parallelism cuts."""
    replicated: Array
    """Weights that tensor parallelism does not cut: norms, biases aside."""
    trained: Array
    """Of all these, the fraction that is trained."""
    largest: Array
    """The largest single trained weight."""
    saved: Array
    """What autograd keeps, attention's scores aside."""
    scores: Array
    """Attention's scores, where kernels keep them."""
    inputs: Array
    """What one layer is given: what full recomputation keeps."""
    working: Array
    """The most that a backward pass through it holds: what is still kept of it, gradients of activations, and the
    gradients of those of its weights that are done."""
    working_kept: Array
    """The same where gradients of all weights lie there already, from a micro-batch before."""
    logits: float
    """Positions times vocabulary; 0 where the model ends otherwise."""

    @property
    def parameters(self) -> float:
        """All weights."""
        return float(self.dense.sum() + self.expert.sum() + self.replicated.sum())

    @property
    def layers(self) -> int:
        """How many layers the stack has."""
        return int(self.is_layer.sum())


def memory_profile(architecture: Architecture, shape: BatchShape, kernels: Kernels = FUSED) -> MemoryProfile:
    """Return the profile of one micro-batch of `shape`. Raises BadInputError for a shape that cannot be."""
    blocks = architecture.blocks(shape)
    rows: list[_Row] = []
    for at, block in enumerate(blocks):
        rows.extend([_row(block, kernels, is_last=at == len(blocks) - 1)] * block.repeat)
    columns = {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in _COLUMNS}
    is_layer = np.array([row.is_layer for row in rows], dtype=np.bool_)
    return MemoryProfile(name=architecture.name, is_layer=is_layer, logits=sum(row.logits for row in rows), **columns)


@dataclass(frozen=True, slots=True)
class _Row:
    is_layer: bool
    dense: float
    expert: float
    replicated: float
    trained: float
    largest: float
    saved: float
    scores: float
    inputs: float
    working: float
    working_kept: float
    logits: float


_COLUMNS = (
    "dense", "expert", "replicated", "trained", "largest", "saved", "scores", "inputs", "working", "working_kept",
)  # fmt: skip


def _row(block: Block, kernels: Kernels, *, is_last: bool) -> _Row:
    operations = block.operations
    expert = sum(one.parameters for one in operations if _is_expert(one))
    replicated = sum(one.parameters for one in operations if one.kind is Kind.ELEMENTWISE)
    total = sum(one.parameters for one in operations)
    trained = [one.parameters for one in operations if one.trainable]
    kept = [one.saved_elements + _kept_by_torch(one, operations, kernels) for one in operations]
    scores = [_scores(one) if kernels.eager_attention else 0.0 for one in operations]
    moved = [_gradients_moved(one) + _gradients_moved_by_torch(one, kernels) for one in operations]
    peaks = _working(block, np.array(kept) + np.array(scores), np.array(moved))
    return _Row(
        is_layer=block.is_layer,
        dense=total - expert - replicated,
        expert=expert,
        replicated=replicated,
        trained=sum(trained) / total if total else 0.0,
        largest=max(trained, default=0),
        saved=sum(kept),
        scores=sum(scores),
        inputs=block.input_elements,
        working=peaks[0],
        working_kept=peaks[1],
        logits=operations[-1].output_elements if is_last and _is_vocabulary(operations) else 0,
    )


def _working(block: Block, kept: Array, moved: Array) -> tuple[float, float]:
    """Walk the operations backwards, as autograd does, and return the most that lives, without and with old gradients.

    When an operation's turn comes, what it and those before it keep is there, the gradients of its output and of its
    inputs, the gradient that passes by on the residual path, and the gradients of weights that are done.
    """
    operations = block.operations
    own = np.array([one.parameters if one.trainable else 0 for one in operations], dtype=np.float64)
    live = np.cumsum(kept) + moved + block.input_elements
    done = np.cumsum(own[::-1])[::-1]
    return float((live + done).max()), float((live + own).max())


def _gradients_moved(operation: Operation) -> float:
    return float(operation.input_elements + operation.output_elements) if _has_backward(operation) else 0.0


def _has_backward(operation: Operation) -> bool:
    return bool(operation.saved_elements or operation.backward_flops or operation.kind is not Kind.LOOKUP)


def _is_expert(operation: Operation) -> bool:
    return operation.active_parameters < operation.parameters


def _is_vocabulary(operations: Sequence[Operation]) -> bool:
    return operations[-1].is_embedding and operations[-1].kind is Kind.MATMUL


def _kept_by_torch(operation: Operation, operations: Sequence[Operation], kernels: Kernels) -> int:
    """Return what is kept besides the operation's input where it is written in torch and is no kernel of its own.

    RMSNorm keeps the normalised input for its scale's gradient; activations the parts of their formula.
    """
    if operation.kind is not Kind.ELEMENTWISE:
        return 0
    if operation.parameters:
        width = next((one.products[0].inner for one in operations if one.products), 0)
        return operation.input_elements if kernels.eager_norms and operation.parameters == width else 0
    return (kernels.activation_keeps - 1) * operation.input_elements if _is_activation(operation) else 0


def _gradients_moved_by_torch(operation: Operation, kernels: Kernels) -> float:
    """Return the gradients of the parts of an activation's formula that live together: one for each, at most two."""
    return min(2, kernels.activation_keeps - 1) * operation.input_elements if _is_activation(operation) else 0.0


def _is_activation(operation: Operation) -> bool:
    is_alone = operation.kind is Kind.ELEMENTWISE and not operation.parameters
    return is_alone and operation.saved_elements == operation.input_elements == operation.output_elements


def _scores(operation: Operation) -> float:
    if operation.kind is not Kind.ATTENTION or not operation.products or not operation.saved_elements:
        return 0.0
    scores = operation.products[0]
    return float(scores.batch * scores.rows * scores.columns)
