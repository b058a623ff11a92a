"""Canaries: each attribute of DeepSpeed on which the adapter relies is there, and says so when it is not."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from checkpoint.errors import AdapterError
from tests.distributed.small_engines import KINDS, Awkward, build, groups_of, train
from tests.distributed.spawn import run_ranks


def look(rank: int, world_size: int) -> list[str]:
    """Return what is missing or wrong, as text."""
    from deepspeed.runtime.fp16.fused_optimizer import FP16_Optimizer

    from checkpoint.adapter_deepspeed import ENGINE_REQUIRED, DeepSpeedAdapter, layout_of

    wrong = []
    for kind in KINDS:
        engine = build(kind, seed=0, world_size=world_size)
        wrong += [f"{kind}: engine.{name}" for name in ENGINE_REQUIRED if not hasattr(engine, name)]
        if isinstance(engine.optimizer, torch.optim.Optimizer):
            continue
        names = {id(p): name for name, p in engine.module.named_parameters()}
        layout = layout_of(engine.optimizer, names)
        wrong += [f"{kind}: optimizer.{name}" for name in layout.REQUIRED if not hasattr(engine.optimizer, name)]
        parts = list(layout.fragments())
        if sum(part.stop - part.start for part in parts) != sum(p.numel() for p in _trained(engine.module)):
            wrong.append(f"{kind}: the fragments do not add up to the model")
        wrong += _inside_an_accumulation(engine)

    model = Awkward().bfloat16()
    inner = torch.optim.AdamW(groups_of(model))
    optimizer = FP16_Optimizer(inner, low_precision_dtype=torch.bfloat16)
    engine = SimpleNamespace(
        module=model, optimizer=optimizer, micro_steps=0, global_steps=3, global_samples=9, skipped_steps=0,
        lr_scheduler=None, gradient_accumulation_steps=lambda: 1,
    )  # fmt: skip
    adapter = DeepSpeedAdapter(engine)
    for piece in adapter.wanted():
        piece.view.fill_(2.0)
    adapter.load_scalars(adapter.scalars())
    adapter.finish_load()
    if any((parameter != 2.0).any() for parameter in _trained(model)):
        wrong.append("FusedAdam's layout: the weights do not follow the masters")
    return wrong


def _trained(model: torch.nn.Module) -> list[Any]:
    """Return the trained parameters, as DeepSpeed's ZeRO-3 sees their sizes."""
    return [
        SimpleNamespace(numel=lambda p=p: p.ds_numel) if hasattr(p, "ds_numel") else p
        for p in model.parameters()
        if p.requires_grad
    ]


def _inside_an_accumulation(engine: Any) -> list[str]:
    """A snapshot between the micro-batches of a step would lose the gradients so far: it must be refused."""
    from checkpoint.adapter_deepspeed import DeepSpeedAdapter

    train(engine, 0, 1, 0, 1)
    adapter = DeepSpeedAdapter(engine)
    adapter.scalars()
    engine.micro_steps += 1
    try:
        adapter.scalars()
    except AdapterError:
        return []
    finally:
        engine.micro_steps -= 1
    return ["a snapshot inside a gradient accumulation was accepted"]


def test_deepspeed_has_every_attribute_that_is_relied_on() -> None:
    assert run_ranks(look, 1) == [[]]


def test_a_missing_attribute_names_deepspeeds_version() -> None:
    from checkpoint.deepspeed_layouts import deepspeed_version, require

    message = f"DeepSpeed {deepspeed_version()}: SimpleNamespace has no attribute b, d, .*install deepspeed"
    with pytest.raises(AdapterError, match=message):
        require(SimpleNamespace(a=1, c=2), ("a", "b", "c", "d"))
