"""The image tower: a small residual convolutional network with GroupNorm.

GroupNorm and not BatchNorm: a sample's embedding may not depend on its neighbours in the micro-batch, or results
would change with the number of workers.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import nn
from typing_extensions import override

from recipes.keyed_dropout import KeyedDropout

_MEAN, _DEVIATION = 0.6, 0.35  # of catalogue pictures on white, rounded
_POOLED = 2  # side of the pooled map: keeps a coarse sense of place


class ImageTower(nn.Module):
    """Images to embeddings; each stage halves the side and ends in one residual block."""

    def __init__(self, channels: Sequence[int], embedding_dim: int, dropout: float) -> None:
        super().__init__()
        widths = (3, *channels)
        self.stages = nn.ModuleList(Stage(a, b) for a, b in pairwise(widths))
        self.norm = _group_norm(widths[-1])
        self.dropout = KeyedDropout(dropout, salt=1)
        self.project = nn.Linear(_POOLED**2 * widths[-1], embedding_dim)

    @override
    def forward(self, images: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        """Return [n, embedding_dim], not normalised, in the dtype of the weights.

        Args:
            images: [n, 3, height, width] in 0..1.
            keys: int64 [n] for dropout, or None.
        """
        x = ((images - _MEAN) / _DEVIATION).to(self.project.weight.dtype)
        for stage in self.stages:
            x = stage(x)
        x = F.gelu(self.norm(x))
        x = F.adaptive_avg_pool2d(x, _POOLED).flatten(1)
        projected: torch.Tensor = self.project(self.dropout(x, keys))
        return projected


class Stage(nn.Module):
    """A convolution that halves the side, and a residual block before which everything is normalised."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.norm1 = _group_norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _group_norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv2.weight)  # the block starts as the identity

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, channels, height / 2, width / 2]."""
        x = self.reduce(x)
        inner = self.conv1(F.gelu(self.norm1(x)))
        out: torch.Tensor = x + self.conv2(F.gelu(self.norm2(inner)))
        return out


def _group_norm(channels: int) -> nn.GroupNorm:
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)
