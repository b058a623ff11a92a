"""Our counts and those of torch's FlopCounterMode over the real modules: equal integers, in both directions."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from planner.architectures import BatchShape, load
from planner.architectures.module import count_module, read_module
from planner.errors import BadInputError
from planner.flops import flops_of
from scripts.benchmarks.planner_torch_counts import Case, cases, ours, theirs

_CASES = cases()
_DEPTH = 3
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers")
_UNTIED = {"flan-t5-xl": 32128 * 2048, "mt5-base": 250112 * 768}
"""T5 1.1 has an output layer of its own; transformers 5 ties it all the same."""


def _shallow(config: dict[str, Any]) -> dict[str, Any]:
    """Return the same architecture with few layers: those after the third are like it."""
    found = {key: min(value, _DEPTH) if key in _DEPTHS else value for key, value in config.items()}
    for part in ("vision_config", "text_config"):
        if part in found:
            found[part] = _shallow(found[part])
    if "first_k_dense_replace" in found:
        found["first_k_dense_replace"] = 1
    return found


def _assert_equal(case: Case) -> None:
    found, expected = ours(case), theirs(case)
    assert (found.forward, found.both) == (expected.forward, expected.both)
    assert found.parameters - expected.parameters == _UNTIED.get(case.name, 0)


def test_there_are_more_than_sixty() -> None:
    assert len(_CASES) == len({case.name for case in _CASES}) > 60


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_equals_torch(case: Case) -> None:
    _assert_equal(replace(case, config=_shallow(dict(case.config))))


@pytest.mark.long
@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_equals_torch_at_full_depth(case: Case) -> None:
    _assert_equal(case)


@pytest.mark.parametrize("active", [1, 3])
def test_llama_4_counts_the_experts_that_a_token_uses(active: int) -> None:
    """transformers computes all experts for all tokens: equal where a token uses all there are."""
    config = {
        "model_type": "llama4_text", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "head_dim": 16,
        "num_key_value_heads": 2, "intermediate_size": 96, "intermediate_size_mlp": 128, "vocab_size": 100,
        "num_local_experts": active, "num_experts_per_tok": active, "interleave_moe_layer_step": 2,
        "pad_token_id": 0,
    }  # fmt: skip
    _assert_equal(Case(name="llama4", config=config, shape=BatchShape(1, 32)))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(32, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = self.project(x).view(2, 16, 3, 4, 8).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(queries, keys, values)


_ATTENTION_FORWARD = 2 * (2 * 2 * 4 * 16 * 16 * 8)


def test_trap_torch_counts_nothing_for_attention_on_the_cpu() -> None:
    module, x = _Attention(), torch.zeros(2, 16, 32)
    products = 2 * 2 * 16 * 32 * 96
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert counter.get_total_flops() == products  # the trap: a later torch that counts it makes our formula needless
    assert count_module(module, {"x": x})[0] == products + _ATTENTION_FORWARD


def test_trap_torch_counts_gradients_of_grouped_convolutions_once_for_each_group() -> None:
    module, x = nn.Conv1d(8, 8, 3, groups=4), torch.zeros(1, 8, 10, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    forward = 2 * 8 * 8 * 2 * 3
    assert counter.get_total_flops() == forward * (1 + 1 + 4)
    assert count_module(module, {"input": x}) == (forward, 3 * forward)


def test_any_module_on_the_meta_device_is_an_architecture() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    module[0].requires_grad_(False)

    def inputs(shape: BatchShape) -> dict[str, torch.Tensor]:
        return {"input": torch.zeros(shape.samples, 8, device="meta")}

    model = read_module("mine", module, inputs, BatchShape())
    (block,) = model.blocks(BatchShape(5))
    first, last = block.operations[0], block.operations[-2]
    assert (first.forward_flops, first.backward_flops, first.trainable) == (2 * 5 * 8 * 16, 0, False)
    assert (last.forward_flops, last.input_gradient_flops, last.weight_gradient_flops) == (640, 0, 640)
    assert sum(operation.parameters for operation in block.operations) == 8 * 16 + 16 + 16 * 4 + 4
    assert last.saved_elements == 5 * 16
    counted = flops_of(model, BatchShape(5))
    assert (counted.forward, counted.backward, counted.trainable_parameters) == (1280 + 640, 640, 16 * 4 + 4)


def test_a_module_that_is_allocated_is_refused() -> None:
    with pytest.raises(BadInputError, match="meta device"):
        read_module("mine", nn.Linear(2, 2), lambda shape: {"input": torch.zeros(shape.samples, 2)}, BatchShape())


def test_a_known_model_is_counted_as_its_module() -> None:
    case = next(case for case in _CASES if case.name == "gpt2")
    counted = flops_of(load("gpt2"), BatchShape(1, 1024))
    assert counted.total == theirs(case).both
