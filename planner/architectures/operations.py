"""The words by which architectures, FLOPs, memory and time meet: operations, blocks, and the shape of a batch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What bounds an operation on an accelerator, and which convention counts its FLOPs."""

    MATMUL = "matmul"
    """A product with weights."""
    ATTENTION = "attention"
    """Scores and their product with values: no weights; halved by the causal convention."""
    CONVOLUTION = "convolution"
    SCAN = "scan"
    """A recurrence over positions (state-space models)."""
    LOOKUP = "lookup"
    """Rows of a table: no FLOPs, memory traffic."""
    ELEMENTWISE = "elementwise"
    """Norms, activations, additions: no FLOPs are counted by any convention, memory traffic."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What one forward pass gets: the micro-batch of one rank."""

    samples: int = 1
    tokens: int | None = None
    """Positions of each (target) text. None: the architecture's own."""
    source_tokens: int | None = None
    """Positions of each source text, of encoder-decoders. None: as `tokens`."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels (or in latents, of diffusion models). None: the architecture's own."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation at one shape of batch. All counts are exact integers, of one repetition."""

    name: str
    kind: Kind
    forward_flops: int
    """Multiplications and additions, each counted as one, as torch's FlopCounterMode does (attention in full)."""
    input_gradient_flops: int
    weight_gradient_flops: int
    """0 where the weights are frozen or there are none."""
    parameters: int = 0
    trainable: bool = True
    input_elements: int = 0
    output_elements: int = 0
    saved_elements: int = 0
    """What autograd keeps from the forward to the backward pass, beyond the weights; in elements."""
    is_causal: bool = False
    is_embedding: bool = False
    """Embedding tables and the output layer over the vocabulary: in or out of "non-embedding" counts."""


@dataclass(frozen=True, slots=True)
class Block:
    """Operations that repeat as one: a layer. Pipelines cut between repetitions; recompute keeps a block's input."""

    name: str
    repeat: int
    operations: tuple[Operation, ...]
    active_fraction: float = 1.0
    """Of the block's parameters, those that one token uses (mixtures of experts)."""


class Architecture(Protocol):
    """A model before it exists: nothing is allocated, nothing is run."""

    name: str

    def blocks(self, shape: BatchShape) -> tuple[Block, ...]:
        """Return the layers in the order of execution. Raises BadInputError for a shape that it cannot take."""
        ...
