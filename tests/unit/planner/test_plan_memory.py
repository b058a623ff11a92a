"""Memory of a rank: states as ZeRO has them, activations as autograd keeps them, verdicts that can be trusted."""

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from planner.architectures import BatchShape, Lora, Tuning, load
from planner.hardware import default_catalogue
from planner.layout import Layout, Precision, Recompute
from planner.layout_shape import layout_shape
from planner.layout_table import LayoutTable
from planner.memory import PLAIN, Moment, estimate_memory
from planner.memory_formulas import GIB, korthikanti_layer_bytes, zero_state_bytes
from planner.memory_profile import EAGER, MemoryProfile, memory_profile, transformers_kernels
from planner.memory_stage import COLUMNS, Stage, micro_batches_in_flight, stage_load
from planner.memory_verdict import nearest_fit, verdict
from planner.pipeline_stages import distinct_rows, stage_of_groups
from planner.verification.measured_steps import decoder

SMALL: Mapping[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 64,
}  # fmt: skip


def profile(samples: int = 1, tokens: int = 64) -> MemoryProfile:
    return memory_profile(load(SMALL), BatchShape(samples, tokens))


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_states_are_those_of_the_zero_paper(stage: int) -> None:
    model = load("llama2-7b")
    estimate = estimate_memory(memory_profile(model, BatchShape(1, 128)), Layout(dp=64, zero=stage), PLAIN)
    found = estimate.weight_bytes + estimate.master_bytes + estimate.moment_bytes
    expected = zero_state_bytes(model.parameters(), 64, stage)
    gradients = 2.0 * model.parameters() / (64 if stage >= 2 else 1)
    assert found == pytest.approx(expected - gradients, rel=1e-9)


def test_the_papers_own_example() -> None:
    assert [round(zero_state_bytes(7.5e9, 64, stage) / 1e9, 1) for stage in range(4)] == [120.0, 31.4, 16.6, 1.9]


def test_frozen_weights_have_neither_gradient_nor_state() -> None:
    model = load("llama3.1-8b").tuned(Tuning(lora=Lora(8)))
    estimate = estimate_memory(memory_profile(model, BatchShape(1, 256)), Layout(accumulation=2), PLAIN)
    trained = model.parameters(trainable_only=True)
    assert estimate.moment_bytes == pytest.approx(8.0 * trained, rel=1e-9)
    assert estimate.weight_bytes == pytest.approx(2.0 * model.parameters(), rel=1e-9)


def test_eager_activations_are_near_korthikantis() -> None:
    width, heads, tokens = 1024, 16, 512
    model = decoder("one", width, heads, 8, 1024, tokens)
    found = memory_profile(model, BatchShape(2, tokens), EAGER)
    layer = 2.0 * float((found.saved + found.scores)[found.is_layer][3])
    theirs = korthikanti_layer_bytes(tokens, 2, width, heads)
    without_dropout = theirs - tokens * 2 * width * 2.0 - 3.0 * heads * tokens**2 * 2
    assert layer == pytest.approx(without_dropout, rel=0.01)


def test_recomputation_keeps_inputs_only() -> None:
    plain = estimate_memory(profile(32), Layout(micro_batch=32, precision=Precision.FP32), PLAIN)
    full = estimate_memory(
        profile(32), Layout(micro_batch=32, precision=Precision.FP32, recompute=Recompute.FULL), PLAIN
    )
    assert full.activation_bytes < 0.4 * plain.activation_bytes
    assert full.total_bytes < plain.total_bytes


def test_parts_add_up_and_more_samples_take_more() -> None:
    small, large = (
        estimate_memory(profile(size), Layout(micro_batch=size, dp=2, zero=2)) for size in (1, 4)
    )
    assert sum(size for _, size in small.parts) == small.total_bytes
    assert large.total_bytes > small.total_bytes


@pytest.mark.parametrize(
    ("pp", "interleave", "accumulation", "expected"),
    [(1, 1, 8, [1.0]), (4, 1, 8, [4.0, 3.0, 2.0, 1.0]), (4, 1, 2, [2.0, 2.0, 2.0, 1.0]),
     (4, 2, 8, [5.5, 4.5, 3.5, 2.5])],
)  # fmt: skip
def test_micro_batches_in_flight(pp: int, interleave: int, accumulation: int, expected: list[float]) -> None:
    layouts = LayoutTable.of([Layout(pp=pp, interleave=interleave, accumulation=accumulation)])
    assert [float(micro_batches_in_flight(layouts, stage)[0]) for stage in range(pp)] == expected


def test_stages_get_layers_evenly_with_the_ends() -> None:
    found = profile()
    assert stage_of_groups(found.is_layer, 3, 1).tolist() == [0, 0, 1, 2, 2]
    assert stage_of_groups(found.is_layer, 2, 1).tolist() == [0, 0, 0, 1, 1]
    assert stage_of_groups(found.is_layer, 1, 1).tolist() == [0] * 5


@pytest.mark.parametrize("pp", [4, 16, 31, 61])
def test_the_most_loaded_stage_is_found_whatever_its_layers_are(pp: int) -> None:
    stack = memory_profile(load("deepseek-v3"), BatchShape(1, 4096))
    layout = Layout(dp=8, pp=pp, ep=8, zero=1, accumulation=64)
    rows, one = distinct_rows({1: stack}, COLUMNS), LayoutTable.of([layout])
    loads = [
        sum(part.item() for part in stage_load(Stage.of(rows, runs, number, one), PLAIN).parts)
        for number, runs in enumerate(rows.stages(pp, 1))
    ]
    assert estimate_memory(stack, layout, PLAIN).total_bytes == pytest.approx(max(loads))


def test_replicas_without_zero_reduce_through_a_bucket() -> None:
    stack = memory_profile(load("gpt2"), BatchShape(8, 1024))
    alone, replicas = (estimate_memory(stack, Layout(dp=dp, micro_batch=8)) for dp in (1, 2))
    assert alone.buffer_bytes == 0
    assert replicas.buffer_bytes == 2 * stack.parameters


def test_the_nearest_layout_fits_and_has_the_same_batch() -> None:
    model = load("llama3.1-70b")
    profiles = {size: memory_profile(model, BatchShape(size, 8192)) for size in (1, 2)}
    layout = Layout(dp=64, zero=3, micro_batch=2)
    accelerator = default_catalogue().instance("p5").accelerator
    assert not verdict(profiles.__getitem__, layout, accelerator).fits
    found = nearest_fit(profiles.__getitem__, layout, layout_shape(model, BatchShape(1, 8192)), accelerator)
    assert found is not None
    assert found.verdict.fits
    assert found.verdict.layout.samples_per_step == layout.samples_per_step
    assert found.verdict.layout.devices == layout.devices
    assert found.changes == ("micro-batch 1", "recompute layers")


@pytest.mark.parametrize(
    ("samples", "recompute", "accumulation", "moment"),
    [(16, "none", 1, Moment.LOSS), (16, "full", 1, Moment.BACKWARD), (1, "none", 1, Moment.UPDATE),
     (8, "none", 2, Moment.LOSS)],
)  # fmt: skip
def test_estimates_are_what_a_step_holds(samples: int, recompute: str, accumulation: int, moment: Moment) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peak_step_bytes = importlib.import_module("planner.memory_torch").peak_step_bytes
    vocabulary = 64 if moment is Moment.BACKWARD else 512
    config = {**SMALL, "num_key_value_heads": 4, "vocab_size": vocabulary}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**config, "bos_token_id": 0, "eos_token_id": 0}))
    model.train()
    if recompute == "full":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    tokens = 64 if samples > 1 else 4
    ids = torch.randint(0, vocabulary, (samples, tokens))

    def step() -> None:
        for _ in range(accumulation):
            out = model(input_ids=ids, labels=ids, use_cache=False)
            out.loss.backward()
            del out
        optimizer.step()
        optimizer.zero_grad()

    measured = peak_step_bytes(model, optimizer, step, batch=[ids])
    found = memory_profile(load(config), BatchShape(samples, tokens), transformers_kernels("silu"))
    layout = Layout(micro_batch=samples, accumulation=accumulation, precision=Precision.FP32).changed(
        recompute=recompute
    )
    estimate = estimate_memory(found, layout, PLAIN)
    assert estimate.moment is moment
    assert estimate.total_bytes == pytest.approx(measured, rel=0.05)
    assert measured < GIB
