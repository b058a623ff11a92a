"""Memory of one pipeline stage over a table of layouts: states, activations, and which moment is the highest."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from planner.layout import Offload, Precision, Recompute
from planner.layout_table import Integers, LayoutTable, Mask
from planner.memory_assumptions import Assumptions, Update
from planner.pipeline_stages import Array, DistinctRows, Run

FP32_BYTES = 4
WEIGHTS = ("dense", "expert", "replicated", "trained", "largest")
"""Columns that do not depend on the micro-batch. They and the next are in the order of LayerRun's."""
ACTIVATIONS = ("saved", "scores", "inputs", "working", "working_kept")
COLUMNS = (*WEIGHTS, *ACTIVATIONS)


class Moment(StrEnum):
    """When in the step memory is highest."""

    BACKWARD = "backward"
    LOSS = "loss"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, eq=False)
class LayerRun:
    """Equal layers that follow each other on a stage. Arrays are [layouts]: elements on one device, uncut."""

    count: int
    is_layer: bool
    dense: float
    expert: float
    replicated: float
    trained: float
    largest: float
    saved: Array
    scores: Array
    inputs: Array
    working: Array
    working_kept: Array


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of layouts that all have the same stages."""

    number: int
    runs: tuple[LayerRun, ...]
    logits: Array
    """[layouts]; 0 on all stages but the last."""
    layouts: LayoutTable

    @staticmethod
    def of(rows: DistinctRows, runs: tuple[Run, ...], number: int, layouts: LayoutTable) -> "Stage":
        """Return the stage with the given runs of distinct rows."""
        sizes = rows.sizes(layouts.micro_batch)
        pp = int(layouts.pp[0])
        logits = rows.logits * (number == pp - 1)
        layers = []
        for row, count in runs:
            columns: dict[str, Any] = {name: float(rows.values[name][0, row]) for name in WEIGHTS}
            columns |= {name: rows.values[name][sizes, row] for name in ACTIVATIONS}
            layers.append(LayerRun(count, bool(rows.is_layer[row]), **columns))
        return Stage(number, tuple(layers), logits[sizes], layouts)


@dataclass(frozen=True, slots=True, eq=False)
class StageLoad:
    """What a stage holds at its highest moment."""

    parts: tuple[Array, ...]
    """Bytes of weights, gradients, masters, moments, activations, working memory, logits and buffers."""
    moment: Integers
    host_bytes: Array


@dataclass(frozen=True, slots=True, eq=False)
class _States:
    """Bytes of one rank, whatever the moment; gradients as they are between backward and update."""

    weights: Array
    gradients: Array
    masters: Array
    moments: Array
    host: Array
    buffers: Array
    updated: Array
    """Weights that this rank updates."""


_Load = tuple[Array, Array, Array, Array]
"""The bytes of gradients, activations, working memory and logits at a moment."""


def stage_load(stage: Stage, given: Assumptions) -> StageLoad:
    """Return what each layout's stage holds when it holds most; of equal moments, the first."""
    states = _states(stage, given)
    saved = _kept(stage)
    best = _in_backward(stage, states, saved)
    most, moment = _sum(best), np.zeros(len(stage.layouts), dtype=np.int64)
    loads = [(2, _in_update(stage, given, states))]
    if stage.number == int(stage.layouts.pp[0]) - 1:
        loads.insert(0, (1, _in_loss(stage, given, states, saved)))
    for number, load in loads:
        total = _sum(load)
        above = total > most
        best = _where(above, load, best)
        most, moment = np.where(above, total, most), np.where(above, number, moment)
    gradients, activations, working, logits = best
    buffers = np.where(moment == 2, 0.0, states.buffers)
    parts = (states.weights, gradients, states.masters, states.moments, activations, working, logits, buffers)
    return StageLoad(parts, moment, states.host)


def micro_batches_in_flight(layouts: LayoutTable, stage: int) -> Array:
    """Return of how many micro-batches a stage keeps activations, as multiples of its own layers (1F1B), [layouts].

    Korthikanti et al. 2022, section 4.2.3: p - stage without interleaving; p (1 + (p - 1) / (p m)) on the first
    stage with m groups of layers on each, and (2 stages) / m less on each one after it.
    """
    pp = layouts.pp
    interleaved = np.maximum(pp + (pp - 1 - 2 * stage) / layouts.interleave, 1.0)
    warm = np.where(layouts.interleave > 1, interleaved, pp - float(stage))
    return np.where(pp == 1, 1.0, np.minimum(warm, layouts.accumulation))


def _sum(load: _Load) -> Array:
    return load[0] + load[1] + load[2] + load[3]


def _where(chosen: Mask, new: _Load, old: _Load) -> _Load:
    first, second, third, fourth = (np.where(chosen, one, other) for one, other in zip(new, old, strict=True))
    return first, second, third, fourth


def _states(stage: Stage, given: Assumptions) -> _States:
    layouts, width = stage.layouts, stage.layouts.precision.element_bytes
    nothing = np.zeros(len(layouts))
    dense, dense_trained, expert, expert_trained, largest = (nothing.copy() for _ in range(5))
    for run in stage.runs:
        cut, experts = run.dense / layouts.tp + run.replicated, run.expert / (layouts.tp * layouts.ep)
        dense += run.count * cut
        dense_trained += run.count * run.trained * cut
        expert += run.count * experts
        expert_trained += run.count * run.trained * experts
        largest = np.maximum(largest, cut + experts)
    shards = layouts.shards

    def share(from_stage: int, of_dense: Array, of_expert: Array) -> Array:
        is_cut = layouts.zero >= from_stage
        return of_dense / np.where(is_cut, shards, 1) + of_expert / np.where(is_cut, shards // layouts.ep, 1)

    updated = share(1, dense_trained, expert_trained)
    masters = np.where(_has_masters(layouts), FP32_BYTES * updated, 0.0)
    moments = layouts.optimizer.moment_bytes * updated
    weights, gradients = width * share(3, dense, expert), width * share(2, dense_trained, expert_trained)
    host = nothing
    if layouts.offload is not Offload.NONE:
        host, masters, moments = masters + moments + FP32_BYTES * updated, nothing, nothing
    if layouts.offload is Offload.PARAMETERS:
        host, weights = host + weights, nothing
    buffers = _buffers(layouts, given, dense + expert, largest)
    return _States(weights, gradients, masters, moments, host, buffers, updated)


def _has_masters(layouts: LayoutTable) -> Mask:
    return np.asarray((layouts.zero >= 1) | (layouts.precision is not Precision.FP32))


def _buffers(layouts: LayoutTable, given: Assumptions, total: Array, largest: Array) -> Array:
    """Return the bytes of reduction buckets, and of gathered weights at stage 3."""
    bucket = np.minimum(given.reduce_bucket_elements, total)
    # Stage 0 reduces after the backward pass: one bucket at a time.
    buckets = bucket * np.where((layouts.zero > 0) & given.overlaps_reduction, 2.0, 1.0)
    gathered = np.minimum(np.minimum(given.live_parameters, total), largest + given.prefetch_elements)
    elements = buckets + np.where(layouts.zero < 3, 0.0, gathered)
    return np.where(layouts.shards > 1, layouts.precision.element_bytes * elements, 0.0)


def _kept(stage: Stage) -> list[Array]:
    """Return what autograd keeps of one layer of each run; elements on one device."""
    layouts = stage.layouts
    scale = 1.0 / (layouts.tp * layouts.cp)
    selective, full = layouts.recomputes(Recompute.SELECTIVE), layouts.recomputes(Recompute.FULL)
    found = []
    for run in stage.runs:
        kept, kept_input = run.saved * scale, run.inputs * scale
        if not layouts.sequence_parallel:
            kept, kept_input = _kept_whole(run, layouts, kept, kept_input)
        scored = kept + run.scores * scale
        kept = np.where(selective, kept, scored)
        found.append(np.where(full, kept_input if run.is_layer else scored, kept))
    return found


def _kept_whole(run: LayerRun, layouts: LayoutTable, kept: Array, kept_input: Array) -> tuple[Array, Array]:
    """Return the same without sequence parallelism, where tensor parallelism cuts.

    Inputs of norms and of the products after them are then whole on every device (Korthikanti et al. 2022, equation 2).
    """
    whole = np.minimum(run.saved, (4.0 if run.is_layer else 1.0) * run.inputs)
    is_cut = layouts.tp > 1
    cut = (whole + (run.saved - whole) / layouts.tp) / layouts.cp
    return np.where(is_cut, cut, kept), np.where(is_cut, run.inputs / layouts.cp, kept_input)


def _keeps_gradients(layouts: LayoutTable) -> Mask:
    """Say where gradients of a micro-batch before lie there whole while the next goes backwards."""
    return (layouts.accumulation > 1) | (layouts.zero >= 2)


def _in_backward(stage: Stage, states: _States, saved: Sequence[Array]) -> _Load:
    """Return the highest moment of the backward pass: layers before are kept, gradients of layers after are done.

    Both change evenly along a run of equal layers, so that the highest moment is at its first or its last.
    """
    layouts, width = stage.layouts, stage.layouts.precision.element_bytes
    keeps = _keeps_gradients(layouts)
    scale = 1.0 / (layouts.tp * layouts.cp)
    nothing = np.zeros(len(layouts))
    grown = [_grown(run, layouts) for run in stage.runs]
    after = sum((run.count * one for run, one in zip(stage.runs, grown, strict=True)), start=nothing)
    before = nothing
    most = np.full(len(layouts), -1.0)
    done_then, held_then, working_then = nothing, nothing, nothing
    of_update = states.gradients / width
    for run, kept, gradients in zip(stage.runs, saved, grown, strict=True):
        working = np.where(keeps, run.working_kept, run.working) * scale
        after = after - run.count * gradients
        for earlier in sorted({0, run.count - 1}):
            held = before + earlier * kept
            done = np.where(keeps, of_update, after + (run.count - 1 - earlier) * gradients)
            total = held + working + done
            above = total > most
            most, done_then = np.where(above, total, most), np.where(above, done, done_then)
            held_then, working_then = np.where(above, held, held_then), np.where(above, working, working_then)
        before = before + run.count * kept
    older = (micro_batches_in_flight(layouts, stage.number) - 1.0) * before
    return width * done_then, width * (older + held_then), width * working_then, nothing


def _grown(run: LayerRun, layouts: LayoutTable) -> Array:
    """Return the elements of one layer's gradients."""
    return ((run.dense + run.expert / layouts.ep) / layouts.tp + run.replicated) * run.trained


def _in_loss(stage: Stage, given: Assumptions, states: _States, saved: Sequence[Array]) -> _Load:
    """Return the moment of the loss, on the last stage: everything is kept, and the logits lie there several times.

    Cross-entropy keeps fp32 log-probabilities, and its backward pass holds two more arrays of that size; logits in 16
    bits are there beside their fp32 copy.
    """
    layouts, width = stage.layouts, stage.layouts.precision.element_bytes
    nothing = np.zeros(len(layouts))
    total = sum((run.count * one for run, one in zip(stage.runs, saved, strict=True)), start=nothing)
    copies = 3 * FP32_BYTES + (width if given.holds_logits else 0) + (FP32_BYTES if width < FP32_BYTES else 0)
    logits = copies * stage.logits / (layouts.tp * layouts.cp)
    gradients = np.where(_keeps_gradients(layouts), states.gradients, 0.0)
    return gradients, width * micro_batches_in_flight(layouts, stage.number) * total, nothing, logits


def _in_update(stage: Stage, given: Assumptions, states: _States) -> _Load:
    """Return the moment of the update: no activations, and what the optimizer computes with.

    DeepSpeed's ZeRO casts this rank's gradients to fp32 before it updates; at stages 1 and 2 it has freed the others
    by then, at stage 3 they lie in a buffer that stays (measured: scripts/benchmarks/measured_zero.py).
    """
    layouts = stage.layouts
    nothing = np.zeros(len(layouts))
    if layouts.offload is not Offload.NONE:
        return states.gradients, nothing, nothing, nothing
    largest = max((run.largest for run in stage.runs), default=0.0) / layouts.tp
    one_by_one = 2.0 * np.where(layouts.zero > 0, states.updated, largest)
    copies = {Update.FUSED: nothing, Update.FOREACH: states.updated, Update.ONE_BY_ONE: one_by_one}[given.update]
    cast = np.where(states.masters > 0.0, states.updated, 0.0)
    gradients = np.where((layouts.zero == 1) | (layouts.zero == 2), 0.0, states.gradients)
    return gradients, nothing, FP32_BYTES * (copies + cast), nothing
