"""The few collectives that losses and evaluation need, over the default process group; none with one process.

Every function that gathers is called by all ranks with equal shapes, and blocks until all have called it.
"""

from typing import Any

import torch
import torch.distributed as dist
from typing_extensions import override


def num_ranks() -> int:
    """Return how many ranks share the global batch: 1 without a process group."""
    return dist.get_world_size() if _has_group() else 1


def own_rank() -> int:
    """Return this process's rank: 0 without a process group."""
    return dist.get_rank() if _has_group() else 0


def gather(local: torch.Tensor) -> torch.Tensor:
    """Return the rows of all ranks, in the order of the ranks; no gradient flows back.

    Args:
        local: [rows, ...], the same shape on every rank.
    """
    if num_ranks() == 1:
        return local.detach()
    local = local.detach().contiguous()
    everyone = local.new_empty((num_ranks() * local.shape[0], *local.shape[1:]))
    dist.all_gather_single(everyone, local)
    return everyone


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """Return the rows of all ranks, in the order of the ranks.

    The backward pass is a collective too: the gradient of `local` is the sum over ranks of what each rank's own
    loss says about these rows.
    """
    if num_ranks() == 1:
        return local
    gathered: torch.Tensor = _Gather.apply(local)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, local: torch.Tensor) -> torch.Tensor:
        ctx.rows = local.shape[0]
        return gather(local)

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        # all_reduce and not reduce_scatter: gloo has no native reduce_scatter, and the tensor is small.
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = own_rank() * ctx.rows
        return total[start : start + ctx.rows]


def _has_group() -> bool:
    return dist.is_available() and dist.is_initialized()
