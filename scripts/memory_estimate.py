"""How much memory the state of a model takes on one rank, by ZeRO stage and precision. Arithmetic only.

After Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (2020), section 3 and
figure 1: weights and gradients of the training precision, an fp32 master copy, and Adam's two fp32 moments, cut over
the ranks from stage 1 on for optimizer state, from 2 on for gradients, and at 3 for weights. In fp32 without ZeRO the
weights are their own masters. Activations, communication buffers and the data are not in it.
"""

from dataclasses import dataclass

from checkpoint.arena import SLOTS

FP32_BYTES = 4
_WEIGHT_BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one rank. `snapshot_bytes` lie in shared memory (/dev/shm), the others on the accelerator."""

    weight_bytes: int
    gradient_bytes: int
    master_bytes: int
    moment_bytes: int
    snapshot_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes on the accelerator; without activations and buffers."""
        return self.weight_bytes + self.gradient_bytes + self.master_bytes + self.moment_bytes


def estimate_memory(num_parameters: int, *, ranks: int, zero_stage: int, precision: str) -> MemoryEstimate:
    """Return the expected memory of one rank for a model with that many trained parameters."""

    def share(cut_from_stage: int) -> int:
        return -(-num_parameters // ranks) if zero_stage >= cut_from_stage else num_parameters

    width = _WEIGHT_BYTES[precision]
    has_own_masters = precision != "fp32" or zero_stage >= 1
    return MemoryEstimate(
        weight_bytes=width * share(3),
        gradient_bytes=width * share(2),
        master_bytes=FP32_BYTES * share(1) if has_own_masters else 0,
        moment_bytes=2 * FP32_BYTES * share(1),
        # Every rank saves its own part of masters and moments, whatever the stage.
        snapshot_bytes=SLOTS * 3 * FP32_BYTES * -(-num_parameters // ranks),
    )
