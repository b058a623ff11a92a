"""Light image augmentation: a small rotation, scaling and shift. Never a flip: arrows and letters have sides."""

import math
from typing import Final

import torch
from torch.nn import functional

MAX_ROTATION: Final = math.radians(6.0)
MAX_SCALING: Final = 0.15
MAX_SHIFT: Final = 0.09
"""In units of half the image's side: about 1.5 of 32 pixels."""

Affine = tuple[float, float, float, float, float, float]
"""A 2 × 3 matrix in row order: from output to input coordinates, both from -1 to 1 over the image."""


def draw_affine(angle: float, scale: float, shift_x: float, shift_y: float) -> Affine:
    """Return the transform for four uniform numbers from [0, 1)."""
    theta = (2 * angle - 1) * MAX_ROTATION
    factor = 1 + (2 * scale - 1) * MAX_SCALING
    cos, sin = math.cos(theta) * factor, math.sin(theta) * factor
    return cos, -sin, (2 * shift_x - 1) * MAX_SHIFT, sin, cos, (2 * shift_y - 1) * MAX_SHIFT


def warp(images: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
    """Transform images (float [n, channel, row, column], white is 1) by matrices (float [n, 6]); outside is white.

    Only element-wise operations and grid_sample, so each image's bits do not depend on what else is in the batch;
    torch's affine_grid is a batched matrix product and does not promise that.
    """
    height, width = images.shape[2:]
    x = ((2 * torch.arange(width) + 1) / width - 1)[None, None, :]
    y = ((2 * torch.arange(height) + 1) / height - 1)[None, :, None]
    m = affine[:, :, None, None]
    grid = torch.stack([m[:, 0] * x + m[:, 1] * y + m[:, 2], m[:, 3] * x + m[:, 4] * y + m[:, 5]], dim=-1)
    return 1 - functional.grid_sample(1 - images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
