"""A model that can be counted: its name, its own shape of batch, and its forward pass on a tape."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from planner.architectures.operations import BatchShape, Block
from planner.architectures.tape import Tape
from planner.architectures.tuning import FULL, Tuning
from planner.errors import BadInputError

_OPTIONS = {"texts": "the number of tokens (--seq)", "pictures": "their size (--image)"}


@dataclass(frozen=True, slots=True)
class Model:
    """What a reader returns. It satisfies Architecture."""

    name: str
    forward: Callable[[Tape, BatchShape], None]
    """Writes the forward pass of a batch whose shape is complete."""
    own: BatchShape
    """The shape for what a batch leaves open: the longest text, the picture's size. None there: it has none."""
    tuning: Tuning = FULL

    def blocks(self, shape: BatchShape | None = None) -> tuple[Block, ...]:
        """Return the layers in the order of execution. Raises BadInputError for a shape that it cannot take."""
        tape = Tape(self.tuning)
        self.forward(tape, self.shape(shape or BatchShape()))
        return tape.blocks()

    def shape(self, shape: BatchShape) -> BatchShape:
        """Return `shape` with what it leaves open filled in. Raises BadInputError."""
        if shape.samples < 1:
            raise BadInputError(f"samples = {shape.samples}: a batch has at least one")
        for given, what in ((shape.tokens, "tokens"), (shape.source_tokens, "source tokens")):
            if given is not None and given < 1:
                raise BadInputError(f"{what} = {given}: a text has at least one")
        for asked, own, what in (
            (shape.tokens, self.own.tokens, "texts"), (shape.image_size, self.own.image_size, "pictures"),
        ):  # fmt: skip
            if asked is not None and own is None:
                raise BadInputError(f"{self.name} takes no {what}: leave out {_OPTIONS[what]}")
        tokens = shape.tokens or self.own.tokens
        source = shape.source_tokens or (shape.tokens if self.own.source_tokens else None) or self.own.source_tokens
        return BatchShape(shape.samples, tokens, source, shape.image_size or self.own.image_size)

    def tuned(self, tuning: Tuning) -> "Model":
        """Return the same model of which only a part is trained."""
        return replace(self, tuning=tuning)

    def parameters(self, *, trainable_only: bool = False, active_only: bool = False) -> int:
        """Return the number of weights: all, those that are trained, or those that one token uses."""
        small = BatchShape(tokens=None if self.own.tokens is None else 8)
        return sum(
            block.repeat * (operation.active_parameters if active_only else operation.parameters)
            for block in self.blocks(small)
            for operation in block.operations
            if operation.trainable or not trainable_only
        )
