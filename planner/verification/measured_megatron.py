"""Megatron's published speeds: iteration times of 2022, to which constants are fitted, and TFLOP/s of 2021."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.hardware import Instance, default_catalogue
from planner.layout import Layout, Recompute
from planner.memory import Assumptions, Update, estimate_memory
from planner.memory_profile import EAGER, MemoryProfile, memory_profile
from planner.time_calibration import Calibration
from planner.time_profile import TimeProfile, time_profile
from planner.time_step import StepTime, estimate_step
from planner.verification.check import reference_file
from planner.verification.measured_steps import MeasuredStep, decoder

TOKENS, VOCABULARY = 2048, 51_200
TABLE5_SOURCE = "Korthikanti et al. 2022 (arXiv:2205.05198), table 5"
TABLE1_SOURCE = "Narayanan et al. 2021 (arXiv:2104.04473), table 1"


@dataclass(frozen=True, slots=True)
class Megatron2022:
    """One model of Korthikanti et al. 2022, table 3, with table 5's seconds and figure 1's GiB."""

    name: str
    width: int
    heads: int
    layers: int
    tp: int
    pp: int
    interleave: int
    batch: int
    micro_batch: int
    full_s: float
    """With full recomputation."""
    selective_s: float
    """With sequence parallelism and attention computed again."""
    state_gib: float
    activation_gib: float
    """Without recomputation or sequence parallelism."""
    selective_gib: float


MODELS_2022 = (
    Megatron2022("22B", 6144, 64, 48, 8, 1, 1, 4, 4, 1.42, 1.10, 45.5625, 59.25, 9.5625),
    Megatron2022("175B", 12288, 96, 96, 8, 8, 3, 64, 1, 18.13, 13.75, 45.5625, 66.84375, 12.3515625),
    Megatron2022("530B", 20480, 128, 105, 8, 35, 3, 280, 1, 49.05, 37.83, 31.640625, 114.0234375, 23.076171875),
    Megatron2022("1T", 25600, 160, 128, 8, 64, 1, 512, 1, 94.42, 71.49, 32.958984375, 131.25, 26.5625),
)
"""Facts, as calculon-ai/calculon calculon/llm/validation.py @caa4b11 has them."""


def selene() -> Instance:
    """Return the machines of both papers: DGX A100 80 GB with 8 links of 200 Gbit/s."""
    known = default_catalogue().instance("p4de")
    return replace(known, inter_node_bytes_per_s=8 * 200e9 / 8, source="DGX A100, Selene")


def megatron_2022_steps() -> list[MeasuredStep]:
    """Return the eight iteration times of table 5. Attention was not fused."""
    return [step for row in MODELS_2022 for step in _steps_2022(row)]


def _steps_2022(row: Megatron2022) -> Iterator[MeasuredStep]:
    model = decoder(f"megatron-{row.name}", row.width, row.heads, row.layers, VOCABULARY, TOKENS)
    profile = time_profile(model, BatchShape(row.micro_batch, TOKENS), EAGER)
    for recompute, seconds in ((Recompute.FULL, row.full_s), (Recompute.SELECTIVE, row.selective_s)):
        layout = Layout(
            tp=row.tp, pp=row.pp, interleave=row.interleave, micro_batch=row.micro_batch,
            accumulation=row.batch // row.micro_batch, recompute=recompute,
            sequence_parallel=recompute is Recompute.SELECTIVE,
        )  # fmt: skip
        yield MeasuredStep(
            f"{model.name}, {recompute} recomputation", row.name, "a100-80gb", profile, layout, selene(), seconds
        )


@dataclass(frozen=True, slots=True, eq=False)
class Megatron2021:
    """One row of table 1: what was measured, and the plan that the model thinks best for it."""

    name: str
    measured_tflops: float
    step: StepTime
    layout: Layout
    hardware_flops: float
    """Of a step, with recomputation, by the paper's equation 3."""

    @property
    def tflops(self) -> float:
        """Teraflops per second and device that the time model says."""
        return self.hardware_flops / self.step.total_s / self.layout.devices / 1e12


def megatron_2021_rows(calibration: Calibration) -> list[Megatron2021]:
    """Return table 1 under the constants of `calibration`. Raises NoReferenceDataError.

    The table does not say micro-batches and interleaving. As the authors took the best, so does this: the fastest of
    those that fit into the memory, by the model's own opinion.
    """
    with reference_file("scaling", "throughput", "megatron2021_table1.csv").open(newline="", encoding="utf-8") as file:
        return [_row_2021(row, calibration) for row in csv.DictReader(file)]


def _row_2021(row: Mapping[str, str], calibration: Calibration) -> Megatron2021:
    width, heads, layers = int(row["hidden"]), int(row["heads"]), int(row["layers"])
    batch = int(row["global_batch"])
    model = decoder(f"megatron-{row['params_b']}b", width, heads, layers, VOCABULARY, TOKENS)
    tried = (
        (estimate_step(_time_profile(model, layout.micro_batch), layout, selene(), calibration), layout)
        for layout in _layouts_2021(row, layers, batch)
        if _fits(model, layout)
    )
    step, layout = min(tried, key=lambda one: one[0].total_s)
    flops = 96.0 * batch * TOKENS * layers * width**2
    flops *= 1.0 + TOKENS / (6.0 * width) + VOCABULARY / (16.0 * layers * width)
    return Megatron2021(f"{row['params_b']}B", float(row["tflops_per_gpu"]), step, layout, flops)


def _layouts_2021(row: Mapping[str, str], layers: int, batch: int) -> Iterator[Layout]:
    tp, pp = int(row["tp"]), int(row["pp"])
    dp = int(row["gpus"]) // (tp * pp)
    for micro_batch in (1, 2, 4, 8, 16):
        if batch % (dp * micro_batch):
            continue
        accumulation = batch // (dp * micro_batch)
        depths = [at for at in range(1, layers // pp + 1) if layers % (pp * at) == 0] if pp > 1 else [1]
        for interleave in depths:
            if interleave == 1 or accumulation % pp == 0:
                yield Layout(
                    dp=dp, tp=tp, pp=pp, interleave=interleave, micro_batch=micro_batch, accumulation=accumulation,
                    recompute=Recompute.FULL, sequence_parallel=False,
                )  # fmt: skip


def _fits(model: Model, layout: Layout) -> bool:
    estimate = estimate_memory(_memory_profile(model, layout.micro_batch), layout, Assumptions(update=Update.FUSED))
    return estimate.total_bytes <= selene().accelerator.memory_bytes


@cache
def _memory_profile(model: Model, micro_batch: int) -> MemoryProfile:
    return memory_profile(model, BatchShape(micro_batch, TOKENS), EAGER)


@cache
def _time_profile(model: Model, micro_batch: int) -> TimeProfile:
    return time_profile(model, BatchShape(micro_batch, TOKENS), EAGER)
