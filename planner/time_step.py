"""Time of one optimizer step: work at the speed of the hardware, times measured constants.

A roofline without a maximum: products take FLOPs over the peak, everything else bytes over the bandwidth, and they add
up, so that small layers, which move more per FLOP, come out less efficient as they are. Collectives take bytes over
their link (Rajbhandari et al. 2020, section 7, for ZeRO; Narayanan et al. 2021, arXiv:2104.04473, section 3, for tensor
and pipeline parallelism and the bubble). What the hardware really reaches of each is a Calibration. Everything is
computed over a table of layouts; one layout is a table of one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.hardware import Instance
from planner.layout import Layout
from planner.layout_table import LayoutTable
from planner.pipeline_stages import Array, DistinctRows, distinct_rows
from planner.time_calibration import TERMS, Calibration
from planner.time_profile import TimeProfile
from planner.time_work import COLUMNS, data_parallel_s, sent_between_stages_s, updated_weights, work_of_row

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
    work, bubble = _work_and_bubble({layout.micro_batch: profile}, LayoutTable.of([layout]), instance)
    seconds = work[:, 0] * calibration.constants
    total_s = float(added((work + bubble)[:, 0] * calibration.constants))
    samples_per_s = layout.samples_per_step / total_s
    positions = profile.positions / layout.micro_batch
    flops = profile.model_flops / layout.micro_batch * layout.samples_per_step
    peak = instance.accelerator.peak_flops_per_s(layout.precision)
    return StepTime(
        parts=(*zip(TERMS, map(float, seconds), strict=True), ("bubble", total_s - float(added(seconds)))),
        total_s=total_s,
        samples_per_s=samples_per_s,
        positions_per_s_per_device=samples_per_s * positions / layout.devices,
        mfu=flops / (total_s * layout.devices * peak),
        relative_error=calibration.relative_error,
        provenance=calibration.described(instance.accelerator.name),
    )


def step_terms(profile: TimeProfile, layout: Layout, instance: Instance) -> Array:
    """Return seconds at the speed of the hardware, [len(TERMS)] in the order of TERMS; launches are counts."""
    table = LayoutTable.of([layout])
    return np.asarray(terms_of_layouts({layout.micro_batch: profile}, table, instance)[:, 0])


def seconds_of_layouts(
    profiles: Mapping[int, TimeProfile], layouts: LayoutTable, instance: Instance, calibration: Calibration
) -> Array:
    """Return the seconds of a step of each layout: the very numbers of `estimate_step`. Arguments as there."""
    terms = terms_of_layouts(profiles, layouts, instance)
    return added(terms * calibration.constants[:, None])


def added(terms: Array) -> Array:
    """Add along the first axis, one after the other: numpy's own sums depend on how many layouts there are."""
    total = np.zeros(terms.shape[1:])
    for term in terms:
        total = total + term
    return total


def terms_of_layouts(profiles: Mapping[int, TimeProfile], layouts: LayoutTable, instance: Instance) -> Array:
    """Return `step_terms` of each layout, [len(TERMS), layouts]: of the work, and of it again in the bubble."""
    work, bubble = _work_and_bubble(profiles, layouts, instance)
    return work + bubble


def _work_and_bubble(
    profiles: Mapping[int, TimeProfile], layouts: LayoutTable, instance: Instance
) -> tuple[Array, Array]:
    rows = distinct_rows(profiles, COLUMNS)
    work, bubble = np.zeros((2, len(TERMS), len(layouts)))
    weights = profiles[min(profiles)]  # those are alike at every micro-batch
    for pp, interleave, at in layouts.pipelines():
        chosen = layouts.take(at)
        slowest = _slowest_stage(rows, chosen, instance, (pp, interleave))
        largest = rows.values["inputs"].max(axis=1)[rows.sizes(chosen.micro_batch)]
        work[:, at] = _terms(slowest, chosen, instance, weights, largest)
        bubble[:, at] = (pp - 1) / interleave * _of_micro_batch(slowest)
    return work, bubble


def _of_micro_batch(slowest: Array) -> Array:
    """Return the terms of one micro-batch on the slowest stage, for which every other stage waits."""
    matmul, attention, softmax, memory, tensor, expert, context, launches = slowest
    none = np.zeros_like(matmul)
    blocking = tensor + expert + context
    return np.stack([matmul, attention, softmax, memory, blocking, none, none, launches, none])


def _terms(slowest: Array, layouts: LayoutTable, instance: Instance, weights: TimeProfile, largest: Array) -> Array:
    matmul, attention, softmax, memory, tensor, expert, context, launches = slowest
    micro_batches = layouts.accumulation
    blocking = micro_batches * (tensor + expert + context) + sent_between_stages_s(largest, layouts, instance)
    update = _UPDATE_BYTES * updated_weights(weights, layouts) / instance.accelerator.memory_bytes_per_s
    reduction, gathers = data_parallel_s(weights, layouts, instance)
    return np.stack(
        [
            micro_batches * matmul,
            micro_batches * attention,
            micro_batches * softmax,
            micro_batches * memory + update,
            blocking,
            reduction,
            gathers,
            micro_batches * launches,
            micro_batches * matmul * np.log2(np.maximum(1.0, layouts.devices / instance.count)),
        ]
    )


def _slowest_stage(
    rows: DistinctRows, layouts: LayoutTable, instance: Instance, pipeline: tuple[int, int]
) -> Array:
    """Return the work of the stage with the most products, attention, exponentials and traffic; [8, layouts]."""
    sizes = rows.sizes(layouts.micro_batch)
    logits = rows.logits[sizes]
    work: dict[int, Array] = {}
    for row in range(len(rows.is_layer)):
        values = {name: rows.values[name][sizes, row] for name in COLUMNS}
        work[row] = work_of_row(
            values, layouts, instance, is_layer=bool(rows.is_layer[row]), logits=logits if row == rows.last else None
        )
    slowest, most = np.zeros((8, len(layouts))), np.full(len(layouts), -1.0)
    for counts in dict.fromkeys(_counts(stage) for stage in rows.stages(*pipeline)):
        of_stage = sum((count * work[row] for row, count in counts), start=np.zeros_like(slowest))
        busy = added(of_stage[:4])
        above = busy > most
        slowest, most = np.where(above, of_stage, slowest), np.where(above, busy, most)
    return slowest


def _counts(stage: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    counted: Counter[int] = Counter()
    for row, count in stage:
        counted[row] += count
    return tuple(sorted(counted.items()))
