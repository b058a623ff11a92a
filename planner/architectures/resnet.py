"""CLIP's ResNet: three convolutions to begin with, pooling instead of strides, and attention as the last pooling.

Radford et al. 2021, arXiv:2103.00020, section 2.4; He et al. 2015, arXiv:1512.03385.
"""

from dataclasses import dataclass

from planner.architectures.operations import BatchShape
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape, Value

_EXPANSION = 4
_HEAD_WIDTH = 64


@dataclass
class _Map:
    """A map of features and its size; pooling changes the size only."""

    tape: Tape
    samples: int
    value: Value
    height: int
    width: int

    def convolved(self, name: str, channels: int, kernel: int, *, stride: int = 1) -> Value:
        """Write a convolution and its batch norm."""
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        rows = self.samples * self.height * self.width
        x = self.tape.convolution(name, self.value, channels, kernel=(kernel, kernel), rows=rows, bias=False)
        self.value = self.tape.norm(f"{name}.norm", x)
        return self.value

    def pooled(self, stride: int) -> None:
        """Average over squares."""
        if stride > 1:
            self.height, self.width = self.height // stride, self.width // stride
            rows = self.samples * self.height * self.width
            self.value = self.tape.reshaped(self.value, rows, self.value.width)


def clip_resnet(tape: Tape, shape: BatchShape, settings: Settings, dim: int) -> None:
    """Write the tower."""
    width, (height, across) = settings.integer("width"), shape.image_size or (0, 0)
    here = _Map(tape, shape.samples, tape.given(shape.samples * height * across, 3), height, across)
    tape.block("image stem", here.value)
    for name, channels, stride in (("conv1", width // 2, 2), ("conv2", width // 2, 1), ("conv3", width, 1)):
        here.convolved(f"visual.{name}", channels, 3, stride=stride)
    here.pooled(2)
    for stage, number in enumerate(settings.several("layers")):
        for at in range(number):
            tape.block(f"image stage {stage}.{at}", here.value, is_layer=True)
            name = f"visual.layer{stage + 1}.{at}"
            _bottleneck(here, name, width * 2**stage, stride=2 if stage and not at else 1)
    tape.block("image head", here.value)
    _attention_pool(here, dim)


def _bottleneck(here: _Map, name: str, channels: int, *, stride: int) -> None:
    before = _Map(here.tape, here.samples, here.value, here.height, here.width)
    here.convolved(f"{name}.conv1", channels, 1)
    here.convolved(f"{name}.conv2", channels, 3)
    here.pooled(stride)
    here.convolved(f"{name}.conv3", _EXPANSION * channels, 1)
    if stride > 1 or before.value.width != here.value.width:
        before.pooled(stride)
        before.convolved(f"{name}.downsample", _EXPANSION * channels, 1)
    here.value = here.tape.add(f"{name}.residual", before.value, here.value)


def _attention_pool(here: _Map, dim: int) -> None:
    """Attention over all positions and their mean, of which the mean's output is used."""
    tape, width, positions = here.tape, here.value.width, here.height * here.width + 1
    trained = tape.weight("visual.attnpool.positional_embedding", positions * width)
    x = Value(here.samples * positions, width, here.value.has_gradient or trained)
    queries = tape.linear("visual.attnpool.q_proj", x, width, bias=True)
    keys = tape.linear("visual.attnpool.k_proj", x, width, bias=True)
    values = tape.linear("visual.attnpool.v_proj", x, width, bias=True)
    mixed = tape.attention(queries, keys, values, heads=width // _HEAD_WIDTH, samples=here.samples)
    tape.linear("visual.attnpool.c_proj", mixed, dim, bias=True)
