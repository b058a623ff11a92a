"""Two gloo ranks give a language model the gradients and the held-out loss of one process."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from recipes import build_recipe
from recipes.config import CatalogueTextConfig, LmLadderConfig, LmModelConfig
from recipes.protocol import Recipe
from tests.distributed.spawn import run_ranks

SAMPLES = 8
RANKS = 2


def tiny_recipe(cache_folder: str) -> Recipe:
    data = CatalogueTextConfig(cache_folder=cache_folder, locales=("en", "ja"), sequence_length=64, heldout_bytes=4000)
    return build_recipe(LmLadderConfig(), LmModelConfig(width=32, layers=2, heads=2), data)


def step_and_measure(rank: int, world_size: int, cache_folder: str) -> tuple[list[list[float]], dict[str, float]]:
    """Return the gradients, averaged over the ranks as an engine does, and the metrics."""
    recipe = tiny_recipe(cache_folder)
    torch.manual_seed(5)
    model = recipe.model().double()
    data = recipe.data(seed=1, global_batch=SAMPLES)
    share = SAMPLES // world_size
    for loss in recipe.losses(model, [data.batch(0, rank * share, (rank + 1) * share)]):
        loss.backward.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if world_size > 1:
        for gradient in gradients:
            dist.all_reduce(gradient)
    with torch.no_grad():
        metrics = recipe.evaluate(model.eval(), full=True)
    return [(gradient / world_size).flatten().tolist() for gradient in gradients], metrics


def test_two_ranks_change_neither_gradient_nor_metric(tmp_path: Path) -> None:
    cache_folder = str(tmp_path / "records")
    gradients, metrics = step_and_measure(0, 1, cache_folder)
    (first, first_metrics), (_, second_metrics) = run_ranks(step_and_measure, RANKS, cache_folder=cache_folder)
    assert first_metrics == second_metrics
    assert first_metrics == pytest.approx(metrics, rel=1e-6)
    assert {"heldout/nats_per_byte", "heldout_all/nats_per_byte"} < set(metrics)
    for found, expected in zip(first, gradients, strict=True):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
