"""A small decoder: rotary attention and gated perceptrons, each normalised before and added to its input."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from typing_extensions import override

from recipes.config import LmModelConfig
from recipes.protocol import Batch

_ROTARY_BASE = 10_000.0
_HIDDEN_MULTIPLE = 16


class LanguageModel(nn.Module):
    """Predicts each token from those before it in its sequence.

    Token embeddings and the output share one matrix: at these sizes a second one would be a third of the smallest
    model, and so each parameter of a matrix does one multiplication a token, which 6 · parameters · tokens counts.
    Embeddings are drawn with variance 1 / width: times sqrt(width) they enter the first block with variance 1, and as
    output they give logits of variance 1. No matrix has a bias.
    """

    def __init__(self, config: LmModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        self._scale = math.sqrt(config.width)
        self._head_dim = config.width // config.heads
        self._draw_weights(config)

    def checkpointable(self) -> list[nn.Module]:
        """Return the blocks, whose activations the engine may recompute."""
        return list(self.blocks)

    @override
    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the nats of each target, float32 [sequences, length].

        Args:
            batch: `inputs` and `targets`, int64 [sequences, length].
        """
        inputs, targets = batch["inputs"], batch["targets"]
        x = self.embed(inputs) * self._scale
        cosines, sines = rotary_table(inputs.shape[1], self._head_dim, x.device, x.dtype)
        for block in self.blocks:
            x = block(x, cosines, sines)
        logits = F.linear(self.norm(x), self.embed.weight).float()
        nats = F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1), reduction="none")
        return nats.view(targets.shape)

    def _draw_weights(self, config: LmModelConfig) -> None:
        """Draw each matrix with variance 1 / inputs; those that write to the residual stream smaller by its depth."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                continue
            writes = name.endswith(("attended.weight", "contract.weight"))
            shrink = math.sqrt(2 * config.layers) if writes else 1.0
            nn.init.normal_(parameter, std=1 / (math.sqrt(parameter.shape[1]) * shrink))


class DecoderBlock(nn.Module):
    """Causal attention with rotary positions and normalised queries and keys, then a SwiGLU perceptron."""

    def __init__(self, config: LmModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.head_dim = width // config.heads
        self.hidden = hidden_width(width)
        self.norm1 = nn.RMSNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(self.head_dim)
        self.key_norm = nn.RMSNorm(self.head_dim)
        self.attended = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width)
        self.gate_and_expand = nn.Linear(width, 2 * self.hidden, bias=False)
        self.contract = nn.Linear(self.hidden, width, bias=False)

    @override
    def forward(self, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        """Return [sequences, length, width], as `x`; the tables are of `rotary_table`."""
        x = x + self._attention(self.norm1(x), cosines, sines)
        gate, expanded = self.gate_and_expand(self.norm2(x)).split(self.hidden, dim=-1)
        out: torch.Tensor = x + self.contract(F.silu(gate) * expanded)
        return out

    def _attention(self, x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        sequences, length, width = x.shape
        split = self.queries_keys_values(x).view(sequences, length, 3, self.heads, self.head_dim)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            _rotated(self.query_norm(queries), cosines, sines),
            _rotated(self.key_norm(keys), cosines, sines),
            values,
            is_causal=True,
        )
        attended: torch.Tensor = self.attended(mixed.transpose(1, 2).reshape(sequences, length, width))
        return attended


def hidden_width(width: int) -> int:
    """Return the perceptron's hidden width: 8/3 of the width, rounded up: SwiGLU's matrices are then 8 · width²."""
    return _HIDDEN_MULTIPLE * math.ceil(8 * width / (3 * _HIDDEN_MULTIPLE))


@lru_cache(maxsize=8)
def rotary_table(
    length: int, head_dim: int, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines, each [length, head_dim] (Su et al. 2021, arXiv:2104.09864, equation 34).

    Not buffers of the model: they are functions of its shape alone and belong into no checkpoint.
    """
    frequencies = _ROTARY_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def _rotated(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines
