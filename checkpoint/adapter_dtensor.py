"""Placement of a module whose parameters are DTensors sharded over their first dimension: FSDP2 and hybrid sharding."""

import math

import torch
from torch.distributed.tensor import DTensor, Replicate, Shard

from checkpoint.adapter_torch import Replicated, flat_view, share
from checkpoint.errors import AdapterError
from checkpoint.state import Slice


class Sharded:
    """Placement of a `fully_shard`ed module's tensors: Shard(0) of a row-major tensor is one flat interval.

    Replicas of a shard (hybrid sharding) divide it among themselves when saving. Tensors that are no DTensors are
    taken as replicated. Low-precision copies are made by FSDP itself at each forward pass.
    """

    def __init__(self) -> None:
        self._replicated = Replicated()

    def local(self, tensor: torch.Tensor) -> torch.Tensor:
        """See Placement."""
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def place(self, name: str, kind: str, tensor: torch.Tensor) -> tuple[Slice, tuple[int, int]]:
        """See Placement. Raises AdapterError for a placement that is no flat interval."""
        if not isinstance(tensor, DTensor):
            return self._replicated.place(name, kind, tensor)
        local = flat_view(tensor.to_local(), name)
        start, (replica, replicas) = _interval(name, tensor)
        stop = start + local.numel()
        return Slice(name, kind, tuple(tensor.shape), start, stop, local), share(start, stop, replica, replicas)


def _interval(name: str, tensor: DTensor) -> tuple[int, tuple[int, int]]:
    """Return where this rank's shard starts in the flat tensor, and (index, number) among the shard's replicas."""
    mesh = tensor.device_mesh
    coordinate = mesh.get_coordinate()
    assert coordinate is not None, f"{name}: this rank is not in the tensor's mesh"
    start, sharded, replica, replicas = 0, False, 0, 1
    for axis, placement in enumerate(tensor.placements):
        if isinstance(placement, Replicate):
            replica = replica * mesh.size(axis) + coordinate[axis]
            replicas *= mesh.size(axis)
        elif type(placement) is Shard and placement.dim == 0 and not sharded:
            sharded = True
            # torch.chunk's rule: all shards but the last ones have the rounded-up length.
            rows = min(coordinate[axis] * math.ceil(tensor.shape[0] / mesh.size(axis)), tensor.shape[0])
            start = rows * math.prod(list(tensor.shape)[1:])
        else:
            raise AdapterError(
                f"{name}: placement {placement} of {tensor.placements} is no flat interval; "
                "only Replicate and one Shard(0) can be saved"
            )
    return start, (replica, replicas)
