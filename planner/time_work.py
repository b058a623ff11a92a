"""What one layer does and sends in a micro-batch, and what a step sends once, in seconds at the speed of the hardware.

Over a table of layouts: arrays are [layouts]. Collectives take bytes over their link (Rajbhandari et al. 2020, section
7, for ZeRO; Narayanan et al. 2021, arXiv:2104.04473, section 3, for tensor and pipeline parallelism).
"""

import math
from collections.abc import Mapping

import numpy as np

from planner.hardware import Instance
from planner.layout import Precision, Recompute
from planner.layout_table import Integers, LayoutTable
from planner.pipeline_stages import Array
from planner.time_profile import TimeProfile

COLUMNS = (
    "matmul_forward", "matmul_backward", "attention_forward", "attention_backward", "scores", "moved_forward",
    "moved_backward", "inputs", "dispatched",
)  # fmt: skip
"""Of TimeProfile: what differs from layer to layer."""
_LOSS_BYTES = 24.0
"""Memory traffic of the loss for each logit: written, copied to fp32, log-softmax and its gradient."""
_WHOLE_MOVES = 10.0
"""How often a layer's norms and additions read or write its width, which tensor parallelism does not cut by itself."""


def work_of_row(
    row: Mapping[str, Array], layouts: LayoutTable, instance: Instance, *, is_layer: bool, logits: Array | None
) -> Array:
    """Return [8, layouts]: matmul, attention, softmax, memory, tensor, expert and context collectives, launches.

    Args:
        row: the columns of one layer, each [layouts], of one micro-batch on one device.
        layouts: how it is cut.
        instance: the hardware.
        is_layer: whether it is of the stack, where recomputation and tensor parallelism apply.
        logits: positions times vocabulary where the loss is computed after it, else None.
    """
    device = instance.accelerator
    peak, bandwidth = device.peak_flops_per_s(layouts.precision), device.memory_bytes_per_s
    general = device.peak_flops_per_s(Precision.BF16) if layouts.precision is Precision.FP8 else peak
    again = (layouts.recomputes(Recompute.FULL) & is_layer).astype(np.float64)
    attended = (~layouts.recomputes(Recompute.NONE) & is_layer).astype(np.float64)
    cut = layouts.tp * layouts.cp
    whole = np.zeros(len(layouts))
    if is_layer and not layouts.sequence_parallel:
        whole = _WHOLE_MOVES * row["inputs"] * (1 - 1 / layouts.tp)
    forward = row["moved_forward"] / layouts.tp + whole
    backward = row["moved_backward"] / layouts.tp + 2.0 * whole
    moved = layouts.precision.element_bytes * (backward + (1.0 + again) * forward)
    if logits is not None:
        moved = moved + _LOSS_BYTES * logits / layouts.tp
    return np.stack(
        [
            (row["matmul_backward"] + (1.0 + again) * row["matmul_forward"]) / (cut * peak),
            (row["attention_backward"] + (1.0 + attended) * row["attention_forward"]) / (cut * general),
            (2.0 + attended) * row["scores"] / (cut * general),
            moved / (layouts.cp * bandwidth),
            *_collectives(row, layouts, instance, again, is_layer=is_layer),
            (3.0 + again) * is_layer,
        ]
    )


def _collectives(
    row: Mapping[str, Array], layouts: LayoutTable, instance: Instance, again: Array, *, is_layer: bool
) -> tuple[Array, Array, Array]:
    """Return what a layer sends: to its tensor, expert and context groups, in seconds.

    Tensor parallelism reduces twice forwards and twice backwards (Shoeybi et al. 2019, arXiv:1909.08053, section 3);
    experts get and return tokens in both directions; context parallelism passes keys and values round.
    """
    width, tp, cp, ep = layouts.precision.element_bytes, layouts.tp, layouts.cp, layouts.ep
    inputs = row["inputs"] * is_layer
    passes = 4.0 + 2.0 * again
    ring = 2.0 * (tp - 1) / tp
    tensor = width * inputs / cp * passes * ring / links_bytes_per_s(instance, tp, inner=np.ones_like(tp))
    tokens = width * row["dispatched"] / (tp * cp) * (ep - 1) / ep
    expert = tokens * passes / links_bytes_per_s(instance, ep, inner=tp)
    rounds = width * 2.0 * inputs / cp * (cp - 1) / tp * (3.0 + again)
    context = rounds / links_bytes_per_s(instance, cp, inner=tp)
    return tensor, expert, context


def sent_between_stages_s(inputs: Array, layouts: LayoutTable, instance: Instance) -> Array:
    """Return the seconds in which a stage sends its output on and gets gradients back, for all micro-batches.

    `inputs` are the most elements that any layer is given.
    """
    sent = layouts.precision.element_bytes * inputs / (layouts.tp * layouts.cp)
    speed = links_bytes_per_s(instance, layouts.pp, inner=layouts.tp * layouts.cp * layouts.dp)
    return np.where(layouts.pp > 1, 2.0 * layouts.accumulation * layouts.interleave * sent / speed, 0.0)


def data_parallel_s(profile: TimeProfile, layouts: LayoutTable, instance: Instance) -> tuple[Array, Array]:
    """Return the seconds of gradients' reductions after the last micro-batch, and of what goes on during them.

    Of Psi weights, stages 0 and 1 move 2 Psi once a step; stage 2 reduces Psi with each micro-batch and gathers Psi
    once; stage 3 moves 3 Psi with each micro-batch (Rajbhandari et al. 2020, section 7).
    """
    shards, zero = layouts.shards, layouts.zero
    sent = layouts.precision.element_bytes * _held(profile, layouts) * (shards - 1) / shards
    seconds = sent / links_bytes_per_s(instance, shards, inner=layouts.tp)
    reduction = np.where(zero == 3, 0.0, np.where(zero == 2, seconds, 2.0 * seconds))
    gathers = np.where(zero >= 2, np.where(zero == 3, 3.0, 1.0) * layouts.accumulation * seconds, 0.0)
    return reduction, gathers


def links_bytes_per_s(instance: Instance, members: Integers, *, inner: Integers) -> Array:
    """Return how fast each member of groups of `members` gets what all others have, together; [layouts].

    Devices are numbered tensor-parallel first, then context, data, pipeline: members lie `inner` apart. Within an
    instance the link is the device's own; beyond, members on one instance share its link with the other groups there.
    """
    own = instance.intra_node_bytes_per_s or math.inf
    on_node = np.maximum(1, np.minimum(members, instance.count // inner))
    shared = np.minimum(instance.inter_node_bytes_per_s * on_node / instance.count, own)
    return np.where(members <= on_node, own, shared)


def updated_weights(profile: TimeProfile, layouts: LayoutTable) -> Array:
    """Return the weights that one rank updates."""
    total = profile.parameters
    trained = float((profile.trained * (profile.dense + profile.expert)).sum()) / total if total else 0.0
    return trained * _held(profile, layouts) / np.where(layouts.zero > 0, layouts.shards, 1)


def _held(profile: TimeProfile, layouts: LayoutTable) -> Array:
    """Return the weights of one rank before ZeRO cuts them: of an even share of the stages."""
    held = float(profile.dense.sum()) + float(profile.expert.sum()) / layouts.ep
    return held / (layouts.tp * layouts.pp)
