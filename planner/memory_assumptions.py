"""What memory depends on and a layout does not say."""

from dataclasses import dataclass
from enum import StrEnum


class Update(StrEnum):
    """How the optimizer's step is computed; it decides what it needs beside its states."""

    FUSED = "fused"
    """One kernel: nothing."""
    FOREACH = "foreach"
    """Over all weights at once, torch's default on accelerators: an fp32 copy of all of them."""
    ONE_BY_ONE = "one_by_one"
    """Weight after weight, torch's default on CPU: two fp32 copies of the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What a layout does not say and memory depends on. The defaults are DeepSpeed's and torch's on CUDA."""

    update: Update = Update.FOREACH
    reduce_bucket_elements: int = 500_000_000
    """DeepSpeed's reduce_bucket_size: a buffer of that many gradients. torch's DistributedDataParallel copies all of
    them unless it is told to use views: give it the number of weights."""
    overlaps_reduction: bool = True
    """DeepSpeed's overlap_comm: two such buffers."""
    live_parameters: int = 1_000_000_000
    """DeepSpeed's stage3_max_live_parameters: how many gathered weights stage 3 keeps at most."""
    prefetch_elements: int = 50_000_000
    """DeepSpeed's stage3_prefetch_bucket_size."""
    holds_logits: bool = True
    """Whether the program still holds the logits while it goes backwards, as transformers' outputs do."""
    reserved_bytes: int = 1 << 30
    """What the driver, its libraries and collectives take before the first tensor. An estimate."""
    fragmentation: float = 0.04
    """Of everything else, what the allocator cannot use. A margin, stated and not computed."""


PLAIN = Assumptions(
    update=Update.ONE_BY_ONE, reduce_bucket_elements=0, overlaps_reduction=False, reserved_bytes=0, fragmentation=0.0
)
"""Tensors alone, on CPU, without DeepSpeed's buffers: what can be compared with a count of living tensors."""
