"""The two-tower model: images and texts of any locale in one embedding space.

After CLIP (Radford et al. 2021, arXiv:2103.00020), with towers small enough for two CPU cores.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from typing_extensions import override

from recipes.config import ClipModelConfig
from recipes.image_tower import ImageTower
from recipes.keyed_dropout import hash_32
from recipes.protocol import Batch
from recipes.text_features import Featurize, byte_features, ngram_features
from recipes.text_tower import ByteTower, NgramTower

_MAX_SCALE = 100.0  # CLIP's bound on the learnt inverse temperature


class ClipOutput(NamedTuple):
    """Unit vectors in fp32: `image` [n, d] and `text` [n * texts_per_image, d]; None for a side the batch lacks.

    `scale` is the inverse temperature, fp32 [1]. A NamedTuple, since DeepSpeed's ZeRO-3 hooks look into tuples only.
    """

    image: torch.Tensor | None
    text: torch.Tensor | None
    scale: torch.Tensor


class ClipModel(nn.Module):
    """Image tower, text tower and a learnt temperature."""

    def __init__(self, config: ClipModelConfig) -> None:
        super().__init__()
        dim, dropout = config.embedding_dim, config.dropout
        self.image_tower = ImageTower(config.image_channels, dim, dropout)
        self.text_tower: NgramTower | ByteTower
        if config.text_tower == "ngram":
            self.text_tower = NgramTower(config.ngram_buckets, config.text_width, dim, dropout)
        else:
            self.text_tower = ByteTower(config.text_width, config.text_layers, dim, dropout)
        self.log_scale = nn.Parameter(torch.full((1,), -math.log(config.initial_temperature)))

    @override
    def forward(self, batch: Batch) -> ClipOutput:
        """Embed what the batch holds: images, texts or both.

        Args:
            batch: `images` [n, 3, height, width] in 0..1; the text features of `featurizer`; and, when training with
                dropout, `sample_key` int64 [n], distinct for each (seed, step, sample).
        """
        keys = batch.get("sample_key")
        image = text = None
        if "images" in batch:
            image = _unit(self.image_tower(batch["images"], keys))
        if "ngrams" in batch:
            offsets = batch["ngram_offsets"]
            text = _unit(self.text_tower(batch["ngrams"], offsets, _text_keys(keys, len(offsets))))
        elif "text_bytes" in batch:
            text_bytes = batch["text_bytes"]
            text = _unit(self.text_tower(text_bytes, _text_keys(keys, len(text_bytes))))
        return ClipOutput(image, text, _precise(self.log_scale).exp().clamp(max=_MAX_SCALE))

    def checkpointable(self) -> list[nn.Module]:
        """Return the blocks whose activations may be recomputed in the backward pass."""
        blocks: list[nn.Module] = list(self.image_tower.stages)
        if isinstance(self.text_tower, ByteTower):
            blocks += self.text_tower.blocks
        return blocks


def featurizer(config: ClipModelConfig) -> Featurize:
    """Return the function that turns texts into what the configured text tower reads."""
    return ngram_features if config.text_tower == "ngram" else byte_features


def _unit(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(_precise(x), dim=-1)


def _precise(x: torch.Tensor) -> torch.Tensor:
    """Return `x` in fp32, or in its own dtype if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _text_keys(keys: torch.Tensor | None, num_texts: int) -> torch.Tensor | None:
    """Return int64 [num_texts], a key for each text of each sample."""
    if keys is None:
        return None
    per_sample = num_texts // len(keys)
    number = torch.arange(per_sample, device=keys.device)
    return (hash_32(keys)[:, None] * per_sample + number).flatten()
