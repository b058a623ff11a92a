"""What `estimate_memory` says beside published closed forms and peaks: ZeRO, Korthikanti, torchtitan."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from planner.architectures import load
from planner.architectures.operations import BatchShape
from planner.layout import Layout, Recompute
from planner.memory import Assumptions, MemoryEstimate, Update, estimate_memory
from planner.memory_formulas import GIB, korthikanti_first_stage_bytes
from planner.memory_profile import EAGER, MemoryProfile, memory_profile
from planner.verification.check import Check
from planner.verification.measured_megatron import MODELS_2022, TABLE5_SOURCE, TOKENS, VOCABULARY, Megatron2022
from planner.verification.measured_steps import decoder
from planner.verification.printed import printed

_ZERO_SOURCE = "Rajbhandari et al. 2020 (arXiv:1910.02054), figure 1"
_ZERO_GIGABYTES = ("120", "31.4", "16.6", "1.9")
"""Model states of 7.5e9 weights on 64 devices, by stage."""
_KORTHIKANTI_SOURCE = f"{TABLE5_SOURCE.partition(',')[0]}, figure 1"
_KORTHIKANTI_ERROR = 0.02
"""Embedding and output layer are in ours and not in the paper's formulas."""
_TITAN_SOURCE = "pytorch/torchtitan benchmarks/llama3_h100_202412_torchtitan.md @b5bcd76"
_TITAN_ERROR = 0.10


def formulas_suite() -> Sequence[Check]:
    """Check the estimate's states against ZeRO's figure 1 and its activations against Korthikanti's equations.

    The equations are checked against the paper's printed GiB first; ours has no dropout, whose masks and second copies
    are taken out of them.
    """
    checks = [
        printed(f"7.5B on 64 GPUs, stage {stage}: states, GB", gigabytes, _zero_states_gb(stage), _ZERO_SOURCE)
        for stage, gigabytes in enumerate(_ZERO_GIGABYTES)
    ]
    for row in MODELS_2022:
        checks += _korthikanti(row)
    return checks


def _zero_states_gb(stage: int) -> float:
    """Return the states in the backward pass of 7.5e9 weights in one layer, which it keeps busy with activations."""
    weights, nothing = np.array([7.5e9]), np.zeros(1)
    profile = MemoryProfile(
        name="7.5B", is_layer=np.array([True]), dense=weights, expert=nothing, replicated=nothing,
        trained=np.ones(1), largest=weights, saved=nothing, scores=nothing, inputs=nothing,
        working=weights, working_kept=weights, logits=0.0,
    )  # fmt: skip
    found = estimate_memory(profile, Layout(dp=64, zero=stage, accumulation=2))
    return (found.weight_bytes + found.gradient_bytes + found.master_bytes + found.moment_bytes) / 1e9


def _korthikanti(row: Megatron2022) -> Iterator[Check]:
    policies = (
        ("activations", Recompute.NONE, False, row.activation_gib),
        ("selective, sequence-parallel", Recompute.SELECTIVE, True, row.selective_gib),
    )
    for name, recompute, sequence_parallel, figure in policies:
        formula = korthikanti_first_stage_bytes(
            TOKENS, row.micro_batch, row.width, row.heads, row.layers, tp=row.tp, pp=row.pp,
            interleave=row.interleave, sequence_parallel=sequence_parallel, recompute=recompute,
        ) / GIB  # fmt: skip
        without = formula * _share_without_dropout(row, recompute, sequence_parallel=sequence_parallel)
        ours = _activation_gib(row, recompute, sequence_parallel=sequence_parallel)
        yield _near(f"{row.name} {name}: equations, GiB", figure, formula, 0.01, _KORTHIKANTI_SOURCE)
        source = f"{_KORTHIKANTI_SOURCE}, equations 2 and 4 without dropout"
        yield _near(f"{row.name} {name}: estimate, GiB", without, ours, _KORTHIKANTI_ERROR, source)


def _share_without_dropout(row: Megatron2022, recompute: Recompute, *, sequence_parallel: bool) -> float:
    """Return what stays of s b h (34 + 5 a s / h) without dropout: two masks fewer, and of the scores one copy."""
    scores = row.heads * TOKENS / row.width if recompute is Recompute.NONE else 0.0
    if sequence_parallel:
        return (32.0 + 2.0 * scores) / (34.0 + 5.0 * scores)
    return (8.0 + (24.0 + 2.0 * scores) / row.tp) / (10.0 + (24.0 + 5.0 * scores) / row.tp)


def _activation_gib(row: Megatron2022, recompute: Recompute, *, sequence_parallel: bool) -> float:
    """Return the estimate's activations of the first stage. Nothing is trained, so that they are the highest moment."""
    model = decoder(f"megatron-{row.name}", row.width, row.heads, row.layers, VOCABULARY, TOKENS)
    profile = memory_profile(model, BatchShape(row.micro_batch, TOKENS), EAGER)
    layout = Layout(
        dp=1, tp=row.tp, pp=row.pp, interleave=row.interleave, micro_batch=row.micro_batch,
        accumulation=max(1, row.batch // row.micro_batch), recompute=recompute, sequence_parallel=sequence_parallel,
    )  # fmt: skip
    return estimate_memory(replace(profile, trained=np.zeros_like(profile.trained)), layout).activation_bytes / GIB


def torchtitan_suite() -> Sequence[Check]:
    """Check peak memory on GPUs that torchtitan published; its layouts, as far as ours can say them."""
    rows = (
        ("Llama 3.1 8B, full recomputation, 8 GPUs, 32,768 tokens", 83.9, "llama3.1-8b", 32_768, Layout(
            dp=8, zero=3, recompute=Recompute.FULL)),
        ("Llama 3.1 70B, FSDP 32 TP 8", 71.9, "llama3.1-70b", 8192, Layout(
            dp=32, tp=8, zero=3, micro_batch=16, recompute=Recompute.FULL)),
    )  # fmt: skip
    return [
        _near(f"{name}, GiB", gib, _titan(model, tokens, layout).total_bytes / GIB, _TITAN_ERROR, _TITAN_SOURCE)
        for name, gib, model, tokens, layout in rows
    ]


def _titan(name: str, tokens: int, layout: Layout) -> MemoryEstimate:
    """Return the estimate with torchtitan's ways: no DeepSpeed buckets, fused AdamW on sharded fp32 weights."""
    given = Assumptions(update=Update.FUSED, reduce_bucket_elements=0, overlaps_reduction=False)
    return estimate_memory(memory_profile(load(name), BatchShape(layout.micro_batch, tokens)), layout, given)


def _near(name: str, expected: float, found: float, tolerance: float, source: str) -> Check:
    return Check(name, expected, found, abs(found / expected - 1.0) <= tolerance, f"{tolerance:.0%} relative", source)
