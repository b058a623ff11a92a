"""How many FLOPs a forward pass, a step and a training are, by which convention; tokens from budgets and back.

Conventions (docs/planner.md):

- *model*: what the mathematics asks for: forward, input gradients and weight gradients. MFU divides by it (Chowdhery et
  al. 2022, arXiv:2204.02311, appendix B).
- *hardware*: also what is computed again in the backward pass; HFU divides by it (Korthikanti et al. 2022,
  arXiv:2205.05198, equations 8 and 9).
- *6nd*: 6 · parameters · tokens (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), without attention; of mixtures of
  experts, the parameters that a token uses.

A multiplication and an addition are two FLOPs; tables that print MACs say half.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape, Block, Kind, Operation
from planner.errors import BadInputError
from planner.layout import Recompute


class Convention(StrEnum):
    """What counts as a FLOP of training."""

    MODEL = "model"
    HARDWARE = "hardware"
    SIX_ND = "6nd"


class Causal(StrEnum):
    """How causal attention is counted."""

    FULL = "full"
    """All pairs of positions, as torch's FlopCounterMode and Megatron count."""
    HALF = "half"
    """tokens² / 2 pairs, as flash attention computes; of a window w < tokens, w · tokens - w² / 2 pairs."""


class Embeddings(StrEnum):
    """Whether tables and the output layer over the vocabulary count, in FLOPs and in N."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """By which convention a number is counted. Every Flops carries one."""

    convention: Convention = Convention.MODEL
    causal: Causal = Causal.FULL
    embeddings: Embeddings = Embeddings.IN
    recompute: Recompute = Recompute.NONE

    def __post_init__(self) -> None:
        """Refuse recompute where it is not counted. Raises BadInputError."""
        if self.recompute is not Recompute.NONE and self.convention is not Convention.HARDWARE:
            raise BadInputError(
                f"recompute = {self.recompute} with convention = {self.convention}: only the hardware convention counts"
                " what is computed again"
            )

    def text(self) -> str:
        """Return the convention in words."""
        if self.convention is Convention.SIX_ND:
            return f"6 x parameters x tokens, embeddings {self.embeddings}"
        recompute = f", recompute {self.recompute}" if self.convention is Convention.HARDWARE else ""
        return f"{self.convention} FLOPs, causal attention {self.causal}, embeddings {self.embeddings}{recompute}"


MODEL = Counting()
"""Model FLOPs with attention in full and embeddings in: what FlopCounterMode counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """The FLOPs of one batch, and what they are counted per. All are exact integers."""

    model: str
    shape: BatchShape
    counting: Counting
    forward: int
    backward: int
    recomputed: int
    """Of the forward pass, computed again; 0 but in the hardware convention."""
    units: int
    """Tokens, or samples, of the batch."""
    unit: str
    """`token`, or `sample` of models that see pictures."""
    parameters: int
    active_parameters: int
    trainable_parameters: int
    non_embedding_parameters: int

    @property
    def total(self) -> int:
        """A step on this batch, without the optimizer's elementwise update."""
        return self.forward + self.backward + self.recomputed

    @property
    def per_unit(self) -> Fraction:
        """A step's FLOPs per token or sample, exactly."""
        return Fraction(self.total, self.units)

    def of_units(self, units: int) -> int:
        """Return the FLOPs of training on so many tokens or samples, to the nearest integer."""
        return round(self.per_unit * units)

    def units_of(self, flops: int) -> int:
        """Return how many tokens or samples a budget of FLOPs trains on. Raises BadInputError."""
        if not self.total:
            raise BadInputError(f"{self.model}: no FLOPs are counted ({self.counting.text()}): no budget buys tokens")
        return int(flops / self.per_unit)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "total": self.total, f"per_{self.unit}": float(self.per_unit)}


def flops_of(model: Model, shape: BatchShape | None = None, counting: Counting = MODEL) -> Flops:
    """Count one batch of `shape` (one sample of the model's own size where it says nothing). Raises BadInputError."""
    full = model.shape(shape or BatchShape())
    blocks = model.blocks(full)
    unit = "sample" if full.image_size is not None else "token"
    units = full.samples * (1 if full.image_size is not None else full.tokens or 1)
    sizes = _sizes(blocks)
    if counting.convention is Convention.SIX_ND:
        forward, backward, recomputed = _six_nd(model, sizes, units, counting)
    else:
        forward, backward, recomputed = _counted(blocks, counting)
    return Flops(
        model=model.name,
        shape=full,
        counting=counting,
        forward=forward,
        backward=backward,
        recomputed=recomputed,
        units=units,
        unit=unit,
        parameters=sizes["all"],
        active_parameters=sizes["active"],
        trainable_parameters=sizes["trainable"],
        non_embedding_parameters=sizes["non_embedding"],
    )


@dataclass(frozen=True, slots=True)
class Share:
    """What one block's operations of one kind contribute to a step: a row of `--explain`."""

    block: str
    repeat: int
    kind: Kind
    forward: int
    backward: int
    parameters: int


def shares_of(model: Model, shape: BatchShape | None = None, counting: Counting = MODEL) -> list[Share]:
    """Return where model FLOPs and parameters lie, by block and kind of operation; all repetitions together."""
    shares = []
    for block in model.blocks(model.shape(shape or BatchShape())):
        for kind in Kind:
            chosen = [operation for operation in block.operations if operation.kind is kind]
            forward = sum(_forward(operation, counting) for operation in chosen)
            backward = sum(_backward(operation, counting) for operation in chosen)
            parameters = sum(operation.parameters for operation in chosen)
            if forward or parameters:
                times = block.repeat
                shares.append(Share(block.name, times, kind, times * forward, times * backward, times * parameters))
    return shares


def attended(operation: Operation, flops: int, causal: Causal) -> int:
    """Return what of an attention's `flops` a convention counts."""
    if causal is Causal.FULL or not operation.is_causal or not operation.products:
        return flops
    tokens, window = operation.products[0].rows, operation.window
    if window is None or window >= tokens:
        return flops // 2
    return flops * (2 * window * tokens - window**2) // (2 * tokens**2)


def _counted(blocks: tuple[Block, ...], counting: Counting) -> tuple[int, int, int]:
    forward = backward = recomputed = 0
    for block in blocks:
        for operation in block.operations:
            ahead = block.repeat * _forward(operation, counting)
            forward += ahead
            backward += block.repeat * _backward(operation, counting)
            if _is_recomputed(block, operation, counting.recompute):
                recomputed += ahead
    return forward, backward, recomputed


def _is_recomputed(block: Block, operation: Operation, recompute: Recompute) -> bool:
    """Selective recompute does attention again, full recompute whole layers, if anything of them is differentiated."""
    if not block.is_layer or recompute is Recompute.NONE:
        return False
    if recompute is Recompute.SELECTIVE:
        return operation.kind is Kind.ATTENTION and operation.backward_flops > 0
    return any(one.backward_flops for one in block.operations)


def _forward(operation: Operation, counting: Counting) -> int:
    if operation.is_embedding and counting.embeddings is Embeddings.OUT:
        return 0
    return attended(operation, operation.forward_flops, counting.causal)


def _backward(operation: Operation, counting: Counting) -> int:
    if operation.is_embedding and counting.embeddings is Embeddings.OUT:
        return 0
    return attended(operation, operation.backward_flops, counting.causal)


def _six_nd(model: Model, sizes: dict[str, int], units: int, counting: Counting) -> tuple[int, int, int]:
    if not model.tuning.is_full:
        raise BadInputError(f"{model.name}: 6ND assumes that every weight is trained; use the model convention")
    if model.own.tokens is None or model.own.image_size is not None or model.own.source_tokens is not None:
        raise BadInputError(f"{model.name}: 6ND is for decoders or encoders of text; use the model convention")
    number = sizes["active_non_embedding"] if counting.embeddings is Embeddings.OUT else sizes["active"]
    return 2 * number * units, 4 * number * units, 0


def _sizes(blocks: tuple[Block, ...]) -> dict[str, int]:
    sizes = dict.fromkeys(("all", "active", "trainable", "non_embedding", "active_non_embedding"), 0)
    for repeat, operation in _each(blocks):
        sizes["all"] += repeat * operation.parameters
        sizes["active"] += repeat * operation.active_parameters
        sizes["trainable"] += repeat * operation.parameters * operation.trainable
        if not operation.is_embedding:
            sizes["non_embedding"] += repeat * operation.parameters
            sizes["active_non_embedding"] += repeat * operation.active_parameters
    return sizes


def _each(blocks: tuple[Block, ...]) -> Iterator[tuple[int, Operation]]:
    for block in blocks:
        for operation in block.operations:
            yield block.repeat, operation
