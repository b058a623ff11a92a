"""Time and memory beside what was published and measured: MPT, Megatron, Korthikanti, ZeRO, torchtitan."""

from collections.abc import Sequence

import numpy as np

from planner.architectures import load
from planner.architectures.operations import BatchShape
from planner.layout import Layout, Recompute
from planner.memory import Assumptions, MemoryEstimate, Update, estimate_memory
from planner.memory_formulas import GIB, korthikanti_first_stage_bytes, zero_state_bytes
from planner.memory_profile import memory_profile
from planner.time_calibration import Calibration
from planner.time_fit import fit_calibration, left_out_errors
from planner.verification.check import Check
from planner.verification.measured_megatron import (
    MODELS_2022,
    TABLE1_SOURCE,
    TABLE5_SOURCE,
    TOKENS,
    Megatron2022,
    megatron_2021_rows,
    megatron_2022_steps,
)
from planner.verification.measured_steps import MPT_SOURCE, MeasuredStep, mpt_steps

_MPT_ERROR, _MEGATRON_ERROR = 0.05, 0.06
_TITAN_SOURCE = "pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md @b5bcd76"


def mpt_errors() -> tuple[list[MeasuredStep], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return the 209 rows and, for each, the relative error of tokens per second with its model size left out.

    Constants are fitted for each kind of accelerator by itself. Raises NoReferenceDataError.
    """
    steps = mpt_steps()
    errors = np.empty(len(steps))
    for accelerator in sorted({step.accelerator for step in steps}):
        at = [number for number, step in enumerate(steps) if step.accelerator == accelerator]
        terms = np.array([steps[number].terms() for number in at])
        seconds = np.array([steps[number].measured_s for number in at])
        errors[at] = left_out_errors(terms, seconds, [steps[number].group for number in at])
    return steps, errors


def fitted(steps: Sequence[MeasuredStep], name: str, source: str) -> Calibration:
    """Return the calibration of measured steps of one kind of accelerator."""
    terms = np.array([step.terms() for step in steps])
    seconds = np.array([step.measured_s for step in steps])
    accelerator = steps[0].instance.accelerator.name
    return fit_calibration(name, accelerator, terms, seconds, [step.group for step in steps], source)


def mpt_throughput() -> list[Check]:
    """Check tokens per second of MPT models, each size predicted from the others."""
    steps, errors = mpt_errors()
    mean = float(np.abs(errors).mean())
    words = "mean absolute relative error, model size left out, at most"
    checks = [_at_most("209 bf16 rows", _MPT_ERROR, mean, words, MPT_SOURCE)]
    for group in sorted({step.group for step in steps}):
        is_in = np.array([step.group == group for step in steps])
        of_group = float(np.abs(errors[is_in]).mean())
        checks.append(Check(f"size {group}", 0.0, of_group, True, "for information", MPT_SOURCE))
    return checks


def megatron_throughput() -> list[Check]:
    """Check table 1 of 2021 with constants fitted to table 5 of 2022: hardware FLOPs, with recomputation."""
    calibration = fitted(megatron_2022_steps(), "megatron", TABLE5_SOURCE)
    rows = megatron_2021_rows(calibration)
    mean = float(np.mean([abs(row.tflops / row.measured_tflops - 1.0) for row in rows]))
    words = "mean absolute relative error, constants from 2022, at most"
    checks = [_at_most("table 1", _MEGATRON_ERROR, mean, words, TABLE1_SOURCE)]
    for row in rows:
        note = f"planned as {row.layout.described()}"
        checks.append(Check(row.name, row.measured_tflops, row.tflops, True, "for information", TABLE1_SOURCE, note))
    return checks


def memory_formulas() -> list[Check]:
    """Check published closed forms: ZeRO's figure 1, and Korthikanti's activations in the two policies."""
    source = "Rajbhandari et al. 2020 (arXiv:1910.02054), figure 1"
    checks = [
        _near(f"7.5B on 64 GPUs, stage {stage}, GB", gigabytes, zero_state_bytes(7.5e9, 64, stage) / 1e9, 0.05, source)
        for stage, gigabytes in enumerate((120.0, 31.4, 16.6, 1.9))
    ]
    for row in MODELS_2022:
        full = _korthikanti_gib(row, Recompute.NONE, sequence_parallel=False)
        selective = _korthikanti_gib(row, Recompute.SELECTIVE, sequence_parallel=True)
        where = f"{TABLE5_SOURCE.partition(',')[0]}, figure 1"
        checks.append(_near(f"{row.name} activations, GiB", row.activation_gib, full, 0.01, where))
        checks.append(_near(f"{row.name} selective, sequence-parallel, GiB", row.selective_gib, selective, 0.01, where))
    return checks


def _korthikanti_gib(row: Megatron2022, recompute: Recompute, *, sequence_parallel: bool) -> float:
    found = korthikanti_first_stage_bytes(
        TOKENS, row.micro_batch, row.width, row.heads, row.layers, tp=row.tp, pp=row.pp, interleave=row.interleave,
        sequence_parallel=sequence_parallel, recompute=recompute,
    )  # fmt: skip
    return found / GIB


def torchtitan_memory() -> list[Check]:
    """Check peak memory on GPUs that torchtitan published; its layouts, as far as ours can say them."""
    rows = (
        ("Llama 3.1 8B, full recomputation, 8 GPUs, 32,768 tokens", 83.9, "llama3.1-8b", 32_768, Layout(
            dp=8, zero=3, recompute=Recompute.FULL)),
        ("Llama 3.1 70B, FSDP 32 TP 8", 71.9, "llama3.1-70b", 8192, Layout(
            dp=32, tp=8, zero=3, micro_batch=16, recompute=Recompute.FULL)),
    )  # fmt: skip
    return [
        Check(name, gib, _titan(model, tokens, layout).total_bytes / GIB, True, "for information", _TITAN_SOURCE)
        for name, gib, model, tokens, layout in rows
    ]


def _titan(name: str, tokens: int, layout: Layout) -> MemoryEstimate:
    """Return the estimate with torchtitan's ways: no DeepSpeed buckets, fused AdamW on sharded fp32 weights."""
    given = Assumptions(update=Update.FUSED, reduce_bucket_elements=0, overlaps_reduction=False)
    return estimate_memory(memory_profile(load(name), BatchShape(layout.micro_batch, tokens)), layout, given)


def _at_most(name: str, bound: float, found: float, words: str, source: str) -> Check:
    return Check(name, bound, found, found <= bound, words, source)


def _near(name: str, expected: float, found: float, tolerance: float, source: str) -> Check:
    return Check(name, expected, found, abs(found / expected - 1.0) <= tolerance, f"{tolerance:.0%} relative", source)
