"""A tiny CLIP model in float64, a global batch, and its parts as ranks and micro-batches see them."""

from collections.abc import Mapping
from typing import Any

import torch

from recipes.clip import ClipModel
from recipes.config import ClipModelConfig
from recipes.contrastive import info_nce_losses
from recipes.protocol import Batch
from recipes.text_features import ngram_features

TINY: dict[str, Any] = {"embedding_dim": 8, "image_channels": (8, 8), "text_width": 8, "ngram_buckets": 256}
TEXTS = 3
TEXT_TO_TEXT = 0.5


def global_batch(samples: int) -> dict[str, Any]:
    """Return images, texts, groups (some shared) and sample keys of a global batch."""
    generator = torch.Generator().manual_seed(7)
    return {
        "images": torch.rand(samples, 3, 8, 8, generator=generator, dtype=torch.float64),
        "texts": [f"name {i} number {i * i}" for i in range(samples * TEXTS)],
        "group": torch.arange(samples) // 2 * 2 % (samples - 2),
        "sample_key": torch.arange(samples) + 1000,
    }


def part(batch: Mapping[str, Any], index: int, parts: int) -> Batch:
    """Return the `index`-th of `parts` equal slices, texts as features."""
    size = len(batch["group"]) // parts
    samples, texts = slice(index * size, (index + 1) * size), slice(index * size * TEXTS, (index + 1) * size * TEXTS)
    return {
        "images": batch["images"][samples],
        "group": batch["group"][samples],
        "sample_key": batch["sample_key"][samples],
        **ngram_features(batch["texts"][texts]),
    }


def step_gradients(
    batch: Mapping[str, Any], micro_batches: int, dropout: float, rank: int = 0, ranks: int = 1
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return this rank's loss and its gradients, averaged over its micro-batches as an engine does."""
    torch.manual_seed(3)
    model = ClipModel(ClipModelConfig(**TINY, dropout=dropout)).double()
    parts = [part(batch, rank * micro_batches + i, ranks * micro_batches) for i in range(micro_batches)]
    values = []
    for loss in info_nce_losses(model, parts, TEXT_TO_TEXT):
        (loss.backward / micro_batches).backward()
        values.append(loss.value.item())
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return sum(values) / len(values), gradients
