"""Two text towers that need no vocabulary and no downloads: hashed byte n-grams, and a byte transformer.

In both, a text's embedding does not depend on its neighbours in the batch, nor on how far the batch is padded.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from typing_extensions import override

from recipes.keyed_dropout import KeyedDropout
from recipes.text_features import MAX_BYTES

_PATCH = 4  # bytes for each position of the transformer: two convolutions of stride 2


class NgramTower(nn.Module):
    """The mean of hashed n-gram vectors, and a perceptron with one hidden layer."""

    def __init__(self, buckets: int, width: int, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.buckets = buckets
        self.bag = nn.EmbeddingBag(buckets, width, mode="mean")
        # Small, so that n-grams never trained on say nothing: with 0.5 held-out names lose a third of their recall.
        nn.init.normal_(self.bag.weight, std=0.02)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 4 * width)
        self.dropout = KeyedDropout(dropout, salt=2)
        self.project = nn.Linear(4 * width, embedding_dim)

    @override
    def forward(self, ngrams: torch.Tensor, offsets: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        """Return [texts, embedding_dim], not normalised.

        Args:
            ngrams: int64 [total], hashes of all texts in a row.
            offsets: int64 [texts], where each text begins.
            keys: int64 [texts] for dropout, or None.
        """
        x = self.norm(self.bag(ngrams % self.buckets, offsets))
        projected: torch.Tensor = self.project(self.dropout(F.gelu(self.hidden(x)), keys))
        return projected


class ByteTower(nn.Module):
    """Byte embeddings, two convolutions of stride 2, transformer blocks, and the mean over positions."""

    def __init__(self, width: int, layers: int, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, width)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.conv1 = nn.Conv1d(width, width, 5, stride=2, padding=2)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.place = nn.Embedding(MAX_BYTES // _PATCH, width)
        nn.init.normal_(self.place.weight, std=0.02)
        self.blocks = nn.ModuleList(TransformerBlock(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = KeyedDropout(dropout, salt=2)
        self.project = nn.Linear(width, embedding_dim)

    @override
    def forward(self, text_bytes: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        """Return [texts, embedding_dim], not normalised.

        Args:
            text_bytes: uint8 [texts, length], zero-padded; `length` is a multiple of 4, at most MAX_BYTES.
            keys: int64 [texts] for dropout, or None.
        """
        used = text_bytes > 0
        x = self.embed(text_bytes.long()) * used[..., None]
        # What a convolution writes past the end of a text is wiped, or padding would leak into the text.
        used = used.view(len(used), -1, 2).any(-1)
        x = F.gelu(self.conv1(x.transpose(1, 2))) * used[:, None]
        used = used.view(len(used), -1, 2).any(-1)
        used[:, 0] = True  # an empty text still attends to something
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.place(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x, used)
        x = (self.norm(x) * used[..., None]).sum(1) / used.sum(1, keepdim=True)
        projected: torch.Tensor = self.project(self.dropout(x, keys))
        return projected


class TransformerBlock(nn.Module):
    """Attention and a perceptron, each normalised before and added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = next(h for h in (4, 2, 1) if width % h == 0)
        self.norm1 = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.contract = nn.Linear(3 * width, width)

    @override
    def forward(self, x: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """Return [texts, positions, width]; positions where `used` (bool [texts, positions]) is false are ignored."""
        texts, positions, width = x.shape
        split = self.queries_keys_values(self.norm1(x)).view(texts, positions, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=used[:, None, None, :])
        x = x + self.attended(mixed.transpose(1, 2).reshape(texts, positions, width))
        out: torch.Tensor = x + self.contract(F.gelu(self.expand(self.norm2(x))))
        return out
