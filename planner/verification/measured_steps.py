"""Published speeds of training, as rows that the time model can be fitted to and compared with."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape
from planner.architectures.tape import Tape, Value
from planner.hardware import Instance, default_catalogue
from planner.layout import Layout
from planner.time_profile import TimeProfile, time_profile
from planner.time_step import step_terms
from planner.verification.check import reference_file

MPT_SHAPES: Mapping[str, tuple[int, int, int]] = {
    "125m": (768, 12, 12), "350m": (1024, 16, 24), "760m": (1536, 12, 24), "1b": (2048, 16, 24),
    "3b": (2560, 20, 32), "7b": (4096, 32, 32), "13b": (5120, 40, 40), "30b": (7168, 56, 48), "70b": (8192, 64, 80),
}  # fmt: skip
"""Width, heads and layers of llm-foundry's MPT models (scripts/train/yamls/pretrain)."""
MPT_VOCABULARY = 50_368
MPT_SOURCE = "mosaicml/llm-foundry scripts/train/benchmarking @8c8dd48"
_MPT_INSTANCES = {"h100_80gb": ("p5", 3200.0), "a100_80gb": ("p4de", 1600.0), "a100_40gb": ("p4d", 1600.0)}
"""Accelerators as in these instances; between machines 400 and 200 Gbit/s for each, as such clusters had."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredStep:
    """One measured configuration."""

    name: str
    group: str
    """What is left out together."""
    accelerator: str
    profile: TimeProfile
    layout: Layout
    instance: Instance
    measured_s: float

    def terms(self) -> NDArray[np.float64]:
        """Return what the time model makes of it (time_step.step_terms)."""
        return step_terms(self.profile, self.layout, self.instance)


def decoder(name: str, width: int, heads: int, layers: int, vocabulary: int, tokens: int) -> Model:
    """Return a decoder after GPT-2: learned positions, perceptrons of four times the width, tied embeddings."""

    def layer(tape: Tape, x: Value, samples: int) -> Value:
        inner = tape.norm("ln_1", x)
        fused = tape.linear("attn.qkv", inner, 3 * width, bias=True)
        queries, keys, values = tape.sliced(fused, width, width, width)
        mixed = tape.attention(queries, keys, values, heads=heads, samples=samples, is_causal=True)
        x = tape.add("residual", x, tape.linear("attn.proj", mixed, width, bias=True))
        inner = tape.linear("mlp.fc", tape.norm("ln_2", x), 4 * width, bias=True)
        return tape.add("residual", x, tape.linear("mlp.proj", tape.activation("mlp.act", inner), width, bias=True))

    def forward(tape: Tape, shape: BatchShape) -> None:
        rows = shape.samples * (shape.tokens or tokens)
        tape.block("embedding")
        x = tape.lookup("wte", rows, vocabulary, width)
        x = tape.add("positions", x, tape.lookup("wpe", rows, shape.tokens or tokens, width))
        x = tape.layers("h", ("layer",) * layers, lambda value, _: layer(tape, value, shape.samples), x)
        tape.block("head", x)
        tape.linear("lm_head", tape.norm("ln_f", x), vocabulary, tied_to="wte", is_embedding=True)

    return Model(name, forward, BatchShape(tokens=tokens))


def mpt_steps() -> list[MeasuredStep]:
    """Return llm-foundry's 209 measurements in bf16. Raises NoReferenceDataError."""
    with reference_file("scaling", "throughput", "llm_foundry_mpt.csv").open(newline="", encoding="utf-8") as file:
        return [_mpt_step(row) for row in csv.DictReader(file) if "bf16" in row["precision"]]


def _mpt_step(row: Mapping[str, str]) -> MeasuredStep:
    width, heads, layers = MPT_SHAPES[row["model"]]
    tokens, devices = int(row["seqlen"]), int(row["n_gpu"])
    micro_batch, accumulation = int(row["mbs"]), int(row["grad_accum"])
    model = decoder(f"mpt-{row['model']}", width, heads, layers, MPT_VOCABULARY, tokens)
    layout = Layout(
        dp=devices,
        zero=3,
        micro_batch=micro_batch,
        accumulation=accumulation,
        recompute="full" if row["act_ckpt"] == "True" else "none",  # type: ignore[arg-type]  # by value
    )
    positions = layout.samples_per_step * tokens
    return MeasuredStep(
        name=f"{model.name} {row['gpu']} x {devices}, {tokens} tokens",
        group=row["model"],
        accelerator=row["gpu"],
        profile=time_profile(model, BatchShape(micro_batch, tokens)),
        layout=layout,
        instance=_mpt_instance(row["gpu"]),
        measured_s=positions / (float(row["tok_per_s_gpu"]) * devices),
    )


def _mpt_instance(gpu: str) -> Instance:
    name, gbit_per_s = _MPT_INSTANCES[gpu]
    known = default_catalogue().instance(name)
    return replace(known, inter_node_bytes_per_s=gbit_per_s / 8 * 1e9, source=MPT_SOURCE)
