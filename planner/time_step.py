"""Time of one optimizer step: work at the speed of the hardware, times measured constants.

A roofline without a maximum: products take FLOPs over the peak, everything else bytes over the bandwidth, and they add
up, so that small layers, which move more per FLOP, come out less efficient as they are. Collectives take bytes over
their link (Rajbhandari et al. 2020, section 7, for ZeRO; Narayanan et al. 2021, arXiv:2104.04473, section 3, for tensor
and pipeline parallelism and the bubble). What the hardware really reaches of each is a Calibration.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware import Instance
from planner.layout import Layout, Precision, Recompute
from planner.memory import stage_of_groups
from planner.time_calibration import TERMS, Calibration
from planner.time_profile import TimeProfile

_LOSS_BYTES = 24.0
"""Memory traffic of the loss for each logit: written, copied to fp32, log-softmax and its gradient."""
_WHOLE_MOVES = 10.0
"""How often a layer's norms and additions read or write its width, which tensor parallelism does not cut by itself."""
_UPDATE_BYTES = 28.0
"""Of the update for each weight: master and two moments read and written, gradient read, weight written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of one optimizer step, part by part; the parts add up to `total_s`."""

    parts: tuple[tuple[str, float], ...]
    total_s: float
    samples_per_s: float
    positions_per_s_per_device: float
    """Tokens per second and device, of language models."""
    mfu: float
    """Model FLOPs utilisation: of the peak, without what is computed again, attention in full."""
    relative_error: float
    """How far calibrated estimates were off on what they were not fitted to: mean of absolute relative errors."""
    provenance: str

    def interval_s(self) -> tuple[float, float]:
        """Return a range that holds about nine of ten: twice the mean error, which is what it was on measured rows."""
        spread = 2.0 * self.relative_error
        return self.total_s / (1.0 + spread), self.total_s * (1.0 + spread)


def estimate_step(
    profile: TimeProfile, layout: Layout, instance: Instance, calibration: Calibration
) -> StepTime:
    """Return the time of an optimizer step of `layout.samples_per_step` samples.

    Args:
        profile: of one micro-batch of `layout.micro_batch` samples, uncut.
        layout: checked against the architecture by `check_layout`.
        instance: of which as many are there as the layout needs.
        calibration: measured constants for this accelerator, or the nearest there are.
    """
    terms = step_terms(profile, layout, instance)
    seconds = terms * calibration.constants
    total_s = float(seconds.sum())
    samples_per_s = layout.samples_per_step / total_s
    positions = profile.positions / layout.micro_batch
    flops = profile.model_flops / layout.micro_batch * layout.samples_per_step
    peak = instance.accelerator.peak_flops_per_s(layout.precision)
    return StepTime(
        parts=tuple(zip(TERMS, map(float, seconds), strict=True)),
        total_s=total_s,
        samples_per_s=samples_per_s,
        positions_per_s_per_device=samples_per_s * positions / layout.devices,
        mfu=flops / (total_s * layout.devices * peak),
        relative_error=calibration.relative_error,
        provenance=calibration.described(instance.accelerator.name),
    )


def step_terms(profile: TimeProfile, layout: Layout, instance: Instance) -> NDArray[np.float64]:
    """Return seconds at the speed of the hardware, [len(TERMS)] in the order of TERMS; launches are counts."""
    stage = stage_of_groups(profile.is_layer, layout)
    work = _work_per_row(profile, layout, instance)
    per_stage = np.zeros((layout.pp, work.shape[1]))
    np.add.at(per_stage, stage, work)
    slowest = per_stage[int(np.argmax(per_stage[:, :4].sum(axis=1)))]
    micro_batches = layout.accumulation
    bubble = (layout.pp - 1) / layout.interleave
    matmul, attention, softmax, memory, tensor, expert, context, launches = slowest
    blocking = micro_batches * (tensor + expert + context) + _sent_between_stages(profile, layout, instance)
    update = _UPDATE_BYTES * _updated(profile, layout) / instance.accelerator.memory_bytes_per_s
    reduction, gathers = _data_parallel(profile, layout, instance)
    return np.array(
        [
            micro_batches * matmul,
            micro_batches * attention,
            micro_batches * softmax,
            micro_batches * memory + update,
            blocking,
            reduction,
            gathers,
            micro_batches * launches,
            micro_batches * matmul * math.log2(max(1.0, layout.devices / instance.count)),
            bubble * (matmul + attention + memory + tensor + expert + context),
        ]
    )


def _work_per_row(profile: TimeProfile, layout: Layout, instance: Instance) -> NDArray[np.float64]:
    """Return [rows, 8]: matmul, attention, softmax, memory, tensor, expert and context collectives, launches."""
    device = instance.accelerator
    peak, bandwidth = device.peak_flops_per_s(layout.precision), device.memory_bytes_per_s
    general = device.peak_flops_per_s(Precision.BF16) if layout.precision is Precision.FP8 else peak
    again = np.where(profile.is_layer, float(layout.recompute is Recompute.FULL), 0.0)
    attended = np.where(profile.is_layer, float(layout.recompute is not Recompute.NONE), 0.0)
    cut = layout.tp * layout.cp
    width = layout.precision.element_bytes
    whole = 0.0 if layout.sequence_parallel else _WHOLE_MOVES * profile.inputs * profile.is_layer * (1 - 1 / layout.tp)
    forward = profile.moved_forward / layout.tp + whole
    backward = profile.moved_backward / layout.tp + 2.0 * whole
    has_head = np.arange(len(profile.is_layer)) == len(profile.is_layer) - 1
    moved = width * (backward + (1.0 + again) * forward) + has_head * _LOSS_BYTES * profile.logits / layout.tp
    columns = (
        (profile.matmul_backward + (1.0 + again) * profile.matmul_forward) / (cut * peak),
        (profile.attention_backward + (1.0 + attended) * profile.attention_forward) / (cut * general),
        (2.0 + attended) * profile.scores / (cut * general),
        moved / (layout.cp * bandwidth),
        *_collectives_per_row(profile, layout, instance, again),
        np.where(profile.is_layer, 3.0 + again, 0.0),
    )
    return np.stack([np.broadcast_to(column, len(profile.is_layer)) for column in columns], axis=1)


def _collectives_per_row(
    profile: TimeProfile, layout: Layout, instance: Instance, again: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what each row sends within layers: to its tensor, expert and context groups, in seconds.

    Tensor parallelism reduces twice forwards and twice backwards (Shoeybi et al. 2019, arXiv:1909.08053, section 3);
    experts get and return tokens in both directions; context parallelism passes keys and values round.
    """
    width = layout.precision.element_bytes
    layer = profile.is_layer / layout.cp
    passes = 4.0 + 2.0 * again
    ring = 2.0 * (layout.tp - 1) / layout.tp
    sent = width * profile.inputs * layer * passes * ring
    tensor = sent / link_bytes_per_s(instance, layout.tp, inner=1)
    tokens = width * profile.dispatched / (layout.tp * layout.cp) * (layout.ep - 1) / layout.ep
    expert = tokens * passes / link_bytes_per_s(instance, layout.ep, inner=layout.tp)
    rounds = width * 2.0 * profile.inputs * layer * (layout.cp - 1) / layout.tp * (3.0 + again)
    context = rounds / link_bytes_per_s(instance, layout.cp, inner=layout.tp)
    return tensor, expert, context


def _sent_between_stages(profile: TimeProfile, layout: Layout, instance: Instance) -> float:
    """Return the seconds in which a stage sends its output on and gets gradients back, for all micro-batches."""
    if layout.pp == 1:
        return 0.0
    sent = layout.precision.element_bytes * float(profile.inputs.max()) / (layout.tp * layout.cp)
    speed = link_bytes_per_s(instance, layout.pp, inner=layout.tp * layout.cp * layout.dp)
    return 2.0 * layout.accumulation * layout.interleave * sent / speed


def _data_parallel(profile: TimeProfile, layout: Layout, instance: Instance) -> tuple[float, float]:
    """Return the seconds of gradients' reductions after the last micro-batch, and of what goes on during them.

    Of Psi weights, stages 0 and 1 move 2 Psi once a step; stage 2 reduces Psi with each micro-batch and gathers Psi
    once; stage 3 moves 3 Psi with each micro-batch (Rajbhandari et al. 2020, section 7).
    """
    if layout.shards == 1:
        return 0.0, 0.0
    width = layout.precision.element_bytes
    sent = width * _held(profile, layout) * (layout.shards - 1) / layout.shards
    seconds = sent / link_bytes_per_s(instance, layout.shards, inner=layout.tp)
    if layout.zero == 3:
        return 0.0, 3.0 * layout.accumulation * seconds
    if layout.zero == 2:
        return seconds, layout.accumulation * seconds
    return 2.0 * seconds, 0.0


def link_bytes_per_s(instance: Instance, members: int, *, inner: int) -> float:
    """Return how fast each member of a group of `members` gets what all others have, together.

    Devices are numbered tensor-parallel first, then context, data, pipeline: members lie `inner` apart. Within an
    instance the link is the device's own; beyond, members on one instance share its link with the other groups there.
    """
    on_node = max(1, min(members, instance.count // inner))
    if members <= on_node:
        return instance.intra_node_bytes_per_s or math.inf
    return min(instance.inter_node_bytes_per_s * on_node / instance.count, instance.intra_node_bytes_per_s or math.inf)


def _held(profile: TimeProfile, layout: Layout) -> float:
    """Return the weights of one rank before ZeRO cuts them: of an even share of the stages."""
    return (float(profile.dense.sum()) + float(profile.expert.sum()) / layout.ep) / (layout.tp * layout.pp)


def _updated(profile: TimeProfile, layout: Layout) -> float:
    total = profile.parameters
    trained = float((profile.trained * (profile.dense + profile.expert)).sum()) / total if total else 0.0
    return trained * _held(profile, layout) / (layout.shards if layout.zero else 1)
