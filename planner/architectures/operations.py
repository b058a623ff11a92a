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
    SIMILARITY = "similarity"
    """A product of two activations that is no attention: every image with every text."""
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
class Product:
    """`batch` matrix products of [rows, inner] by [inner, columns], or a convolution written as products."""

    rows: int
    inner: int
    columns: int
    batch: int = 1

    @property
    def flops(self) -> int:
        """Multiplications and additions, each counted as one."""
        return 2 * self.batch * self.rows * self.inner * self.columns


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation at one shape of batch. All counts are exact integers, of one repetition."""

    name: str
    kind: Kind
    forward_flops: int = 0
    """Multiplications and additions, each counted as one, as torch's FlopCounterMode does (attention in full)."""
    input_gradient_flops: int = 0
    """0 where nothing before it is trained."""
    weight_gradient_flops: int = 0
    """0 where the weights are frozen or there are none."""
    parameters: int = 0
    """Of tied weights, at their first use only."""
    active_parameters: int = 0
    """Those that one token uses: fewer than `parameters` in mixtures of experts only."""
    trainable: bool = True
    """Whether `parameters` are trained. Adapters are operations of their own."""
    input_elements: int = 0
    output_elements: int = 0
    saved_elements: int = 0
    """What autograd keeps from the forward to the backward pass, beyond the weights and beyond what an operation before
    this one keeps already; in elements."""
    products: tuple[Product, ...] = ()
    """The forward pass as matrix products (of attention: scores, then values), for rooflines."""
    is_causal: bool = False
    window: int | None = None
    """Of causal attention: how many positions back it looks, itself included. None: all."""
    is_embedding: bool = False
    """Embedding tables and the output layer over the vocabulary: in or out of "non-embedding" counts."""

    @property
    def backward_flops(self) -> int:
        """Gradients of inputs and of weights."""
        return self.input_gradient_flops + self.weight_gradient_flops


@dataclass(frozen=True, slots=True)
class Block:
    """Operations that repeat as one: a layer. Pipelines cut between repetitions; recompute keeps a block's input."""

    name: str
    repeat: int
    operations: tuple[Operation, ...]
    input_elements: int = 0
    """What one repetition is given: what full recompute keeps of it."""
    is_layer: bool = False
    """Whether full recompute applies: a layer of the stack, and neither the embedding nor the head."""


class Architecture(Protocol):
    """A model before it exists: nothing is allocated, nothing is run."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def blocks(self, shape: BatchShape) -> tuple[Block, ...]:
        """Return the layers in the order of execution. Raises BadInputError for a shape that it cannot take."""
        ...
