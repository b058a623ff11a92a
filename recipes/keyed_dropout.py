"""Dropout whose mask is a function of the sample, so that it depends neither on the rank nor on a resume."""

import torch
from torch import nn
from typing_extensions import override

_MASK = 0xFFFFFFFF


class KeyedDropout(nn.Module):
    """Zero each feature with probability `rate`, by a hash of (sample key, salt, feature) and no generator state."""

    def __init__(self, rate: float, salt: int) -> None:
        super().__init__()
        self.rate = rate
        self.salt = salt

    @override
    def forward(self, x: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        """Return `x` with features dropped and the rest scaled by 1 / (1 - rate); `x` itself in evaluation.

        Args:
            x: [rows, features].
            keys: int64 [rows], distinct for each (seed, step, sample, text). Needed when training with rate > 0.
        """
        if not self.training or self.rate == 0.0:
            return x
        if keys is None:
            raise ValueError("dropout while training needs the batch's `sample_key`")
        feature = torch.arange(x.shape[1], device=x.device)
        mixed = hash_32(hash_32(keys + self.salt)[:, None] ^ hash_32(feature + 1)[None, :])
        keep = mixed >= int(self.rate * 2**32)
        return x * keep.to(x.dtype) / (1.0 - self.rate)


def hash_32(values: torch.Tensor) -> torch.Tensor:
    """Return well mixed 32-bit hashes of int64 values, as int64 in [0, 2**32).

    Folds the upper half into the lower, then applies the "lowbias32" finalizer of Chris Wellons (hash-prospector).
    Products wrap modulo 2**64, which leaves the low 32 bits right.
    """
    x = ((values ^ ((values >> 32) * 0x9E3779B1)) & _MASK)
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
