"""Memory of one rank, part by part, at the moment of the step when it is highest.

States after Rajbhandari et al. 2020 (ZeRO, arXiv:1910.02054, section 3 and figure 1) with DeepSpeed's buffers;
activations by operation, as autograd keeps them; pipelines after Korthikanti et al. 2022 (arXiv:2205.05198, section
4.2.3).
"""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.layout import Layout, Offload, Precision, Recompute
from planner.memory_profile import MemoryProfile

Array = NDArray[np.float64]
FP32_BYTES = 4


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
    """DeepSpeed's reduce_bucket_size: a buffer of that many gradients, allocated whole, at stages 1 to 3."""
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


class Moment(StrEnum):
    """When in the step memory is highest."""

    BACKWARD = "backward"
    LOSS = "loss"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes of the most loaded rank at its highest moment. The parts add up to `total_bytes`."""

    weight_bytes: float
    gradient_bytes: float
    master_bytes: float
    moment_bytes: float
    activation_bytes: float
    """Kept from forward to backward, of all micro-batches in flight."""
    working_bytes: float
    """Of the layer whose turn it is: its gradients, what is computed again; of the update: its copies."""
    logit_bytes: float
    buffer_bytes: float
    """Reduction buckets and gathered weights."""
    margin_bytes: float
    """Reserved by the driver and lost to fragmentation: stated, not computed."""
    moment: Moment
    stage: int
    """The pipeline stage that needs most."""
    host_bytes: float = 0.0
    """What was offloaded, in the host's memory, per rank."""
    parts: tuple[tuple[str, float], ...] = field(init=False)
    total_bytes: float = field(init=False)

    def __post_init__(self) -> None:
        """Name the parts, in the order of the waterfall."""
        names = ("weight", "gradient", "master", "moment", "activation", "working", "logit", "buffer", "margin")
        parts = tuple((f"{name}s", float(getattr(self, f"{name}_bytes"))) for name in names)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "total_bytes", sum(value for _, value in parts))


def estimate_memory(
    profile: MemoryProfile, layout: Layout, assumptions: Assumptions | None = None
) -> MemoryEstimate:
    """Return the memory of the most loaded rank.

    Args:
        profile: of one micro-batch of `layout.micro_batch` samples, uncut.
        layout: checked against the architecture by `check_layout`.
        assumptions: None: Assumptions().
    """
    given = assumptions or Assumptions()
    # Most is in flight on the first stages, and the logits lie on the last.
    chosen = {0, min(1, layout.pp - 1), layout.pp - 1}
    estimates = [_stage_memory(_rows_of(profile, layout.pp, layout.interleave, at), layout, given, at) for at in chosen]
    return max(estimates, key=lambda one: one.total_bytes)


@lru_cache(maxsize=1024)
def _rows_of(profile: MemoryProfile, stages: int, interleave: int, stage: int) -> MemoryProfile:
    """Return the rows of one pipeline stage. Kept, for many layouts of one model are looked at."""
    mine = stage_of_groups(profile.is_layer, stages, interleave) == stage
    columns = {
        field.name: getattr(profile, field.name)[mine]
        for field in fields(profile)
        if isinstance(getattr(profile, field.name), np.ndarray)
    }
    return replace(profile, **columns)


def stage_of_groups(is_layer: NDArray[np.bool_], stages: int, interleave: int) -> NDArray[np.int64]:
    """Return the pipeline stage of each row: layers spread evenly over the groups, the first groups one more.

    What comes before the layers is on the first stage, what comes after on the last.
    """
    groups = stages * interleave
    number = np.cumsum(is_layer) - 1
    small, extra = divmod(max(1, int(is_layer.sum())), groups)
    border = extra * (small + 1)
    group = np.where(number < border, number // (small + 1), extra + (number - border) // max(1, small))
    last = np.flatnonzero(is_layer)
    after = np.arange(len(number)) > (last[-1] if len(last) else -1)
    stage: NDArray[np.int64] = np.where(after, stages - 1, np.clip(group, 0, groups - 1) % stages)
    return stage


def micro_batches_in_flight(layout: Layout, stage: int) -> float:
    """Return of how many micro-batches a stage keeps activations, as multiples of its own layers (1F1B).

    Korthikanti et al. 2022, section 4.2.3: p - stage without interleaving; p (1 + (p - 1) / (p m)) on the first
    stage with m groups of layers on each, and (2 stages) / m less on each one after it.
    """
    if layout.pp == 1:
        return 1.0
    warm = float(layout.pp - stage)
    if layout.interleave > 1:
        warm = layout.pp + (layout.pp - 1 - 2 * stage) / layout.interleave
        warm = max(warm, 1.0)
    return min(warm, float(layout.accumulation))


@dataclass(frozen=True, slots=True)
class _States:
    """Bytes of one rank, whatever the moment; gradients as they are between backward and update."""

    weights: float
    gradients: float
    masters: float
    moments: float
    host: float
    buffers: float
    updated: float
    """Weights that this rank updates."""


def _stage_memory(
    profile: MemoryProfile, layout: Layout, given: Assumptions, stage: int
) -> MemoryEstimate:
    states = _states(profile, layout, given)
    moments = (
        _in_backward(profile, layout, stage, states),
        _in_loss(profile, layout, given, stage, states),
        _in_update(profile, layout, given, states),
    )
    moment, gradients, activations, working, logits = max(moments, key=lambda one: sum(one[1:]))
    buffers = states.buffers if moment is not Moment.UPDATE else 0.0
    known = states.weights + gradients + states.masters + states.moments + activations + working + logits + buffers
    return MemoryEstimate(
        weight_bytes=states.weights,
        gradient_bytes=gradients,
        master_bytes=states.masters,
        moment_bytes=states.moments,
        activation_bytes=activations,
        working_bytes=working,
        logit_bytes=logits,
        buffer_bytes=buffers,
        margin_bytes=given.reserved_bytes + given.fragmentation * known,
        moment=moment,
        stage=stage,
        host_bytes=states.host,
    )


def _states(profile: MemoryProfile, layout: Layout, given: Assumptions) -> _States:
    width = layout.precision.element_bytes
    cut = profile.dense / layout.tp + profile.replicated
    expert = profile.expert / (layout.tp * layout.ep)
    shards, expert_shards = layout.shards, layout.shards // layout.ep
    trained = profile.trained

    def share(from_stage: int, *, trained_only: bool) -> float:
        is_cut = layout.zero >= from_stage
        weight = trained if trained_only else 1.0
        dense_part = float((cut * weight).sum()) / (shards if is_cut else 1)
        return dense_part + float((expert * weight).sum()) / (expert_shards if is_cut else 1)

    updated = share(1, trained_only=True)
    has_masters = layout.precision is not Precision.FP32 or layout.zero >= 1
    masters = FP32_BYTES * updated if has_masters else 0.0
    moments = layout.optimizer.moment_bytes * updated
    weights, gradients = width * share(3, trained_only=False), width * share(2, trained_only=True)
    host = 0.0
    if layout.offload is not Offload.NONE:
        host, masters, moments = masters + moments + FP32_BYTES * updated, 0.0, 0.0
    if layout.offload is Offload.PARAMETERS:
        host, weights = host + weights, 0.0
    buffers = _buffers(layout, given, cut + expert)
    return _States(weights, gradients, masters, moments, host, buffers, updated)


def _buffers(layout: Layout, given: Assumptions, rows: Array) -> float:
    """Return the bytes of reduction buckets, and of gathered weights at stage 3."""
    if layout.zero == 0 or layout.shards == 1:
        return 0.0
    width = layout.precision.element_bytes
    total = float(rows.sum())
    buckets = min(given.reduce_bucket_elements, total) * (2 if given.overlaps_reduction else 1)
    if layout.zero < 3:
        return width * buckets
    gathered = min(given.live_parameters, total, float(rows.max()) + given.prefetch_elements)
    return width * (buckets + gathered)


def _activations(profile: MemoryProfile, layout: Layout) -> tuple[Array, Array]:
    """Return what each row of a stage keeps, and the most its backward pass holds; elements on one device."""
    scale = 1.0 / (layout.tp * layout.cp)
    inputs, saved = profile.inputs, profile.saved
    if layout.sequence_parallel or layout.tp == 1:
        cut, kept_input = saved * scale, inputs * scale
    else:
        # Korthikanti et al. 2022, equation 2: inputs of norms and of the products after them are whole on every device.
        whole = np.minimum(saved, np.where(profile.is_layer, 4.0, 1.0) * inputs)
        cut, kept_input = (whole + (saved - whole) / layout.tp) / layout.cp, inputs / layout.cp
    scores = profile.scores * scale
    if layout.recompute is Recompute.NONE:
        cut = cut + scores
    elif layout.recompute is Recompute.FULL:
        cut = np.where(profile.is_layer, kept_input, cut + scores)
    keeps = profile.working_kept if _keeps_gradients(layout) else profile.working
    return cut, keeps * scale


def _keeps_gradients(layout: Layout) -> bool:
    """Say whether gradients of a micro-batch before lie there whole while the next goes backwards."""
    return layout.accumulation > 1 or layout.zero >= 2


_Load = tuple[Moment, float, float, float, float]
"""A moment, and the bytes of gradients, activations, working memory and logits in it."""


def _in_backward(
    profile: MemoryProfile, layout: Layout, stage: int, states: _States
) -> _Load:
    """Return the highest moment of the backward pass: layers before are kept, gradients of layers after are done."""
    width = layout.precision.element_bytes
    saved, working = _activations(profile, layout)
    older = (micro_batches_in_flight(layout, stage) - 1.0) * float(saved.sum())
    before = np.concatenate(([0.0], np.cumsum(saved)[:-1]))
    if _keeps_gradients(layout):
        done = np.full(len(saved), states.gradients / width)
    else:
        rows = (profile.dense + profile.expert / layout.ep) / layout.tp + profile.replicated
        grown = rows * profile.trained
        done = np.concatenate((np.cumsum(grown[::-1])[::-1][1:], [0.0]))
    at = int(np.argmax(before + working + done))
    kept = older + float(before[at])
    return Moment.BACKWARD, width * float(done[at]), width * kept, width * float(working[at]), 0.0


def _in_loss(
    profile: MemoryProfile, layout: Layout, given: Assumptions, stage: int, states: _States
) -> _Load:
    """Return the moment of the loss: everything is kept, and the logits lie there several times.

    Cross-entropy keeps fp32 log-probabilities, and its backward pass holds two more arrays of that size; logits in 16
    bits are there beside their fp32 copy.
    """
    width = layout.precision.element_bytes
    if stage != layout.pp - 1:
        return Moment.LOSS, 0.0, 0.0, 0.0, 0.0
    saved, _ = _activations(profile, layout)
    copies = 3 * FP32_BYTES + (width if given.holds_logits else 0) + (FP32_BYTES if width < FP32_BYTES else 0)
    logits = copies * profile.logits / (layout.tp * layout.cp)
    gradients = states.gradients if _keeps_gradients(layout) else 0.0
    kept = micro_batches_in_flight(layout, stage) * float(saved.sum())
    return Moment.LOSS, gradients, width * kept, 0.0, logits


def _in_update(profile: MemoryProfile, layout: Layout, given: Assumptions, states: _States) -> _Load:
    """Return the moment of the update: no activations, and what the optimizer computes with.

    DeepSpeed's ZeRO casts this rank's gradients to fp32 before it updates; at stages 1 and 2 it has freed the others
    by then, at stage 3 they lie in a buffer that stays (measured: scripts/benchmarks/measured_zero.py).
    """
    if layout.offload is not Offload.NONE:
        return Moment.UPDATE, states.gradients, 0.0, 0.0, 0.0
    largest = states.updated if layout.zero else float((profile.largest / layout.tp).max(initial=0.0))
    copies = {Update.FUSED: 0.0, Update.FOREACH: states.updated, Update.ONE_BY_ONE: 2.0 * largest}[given.update]
    is_cast = bool(states.masters)
    gradients = 0.0 if layout.zero in {1, 2} else states.gradients
    return Moment.UPDATE, gradients, 0.0, FP32_BYTES * (copies + (states.updated if is_cast else 0.0)), 0.0
