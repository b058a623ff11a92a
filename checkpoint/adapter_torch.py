"""State of a torch module and optimizer: replicated over all ranks, in a single process, or placed by somebody else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import distributed

from checkpoint.errors import AdapterError
from checkpoint.optimizer_state import (
    Member,
    create_state,
    group_settings,
    load_group_settings,
    load_step_counts,
    moments,
    step_counts,
)
from checkpoint.state import BUFFER, FROZEN, MASTER, Json, Slice


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and the world size in the default group; (0, 1) without one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(start: int, stop: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the part of `[start, stop)` that falls to `rank` when it is divided evenly over `ranks`."""
    size = stop - start
    return start + size * rank // ranks, start + size * (rank + 1) // ranks


def flat_view(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """Return the 1-D view of a tensor's storage. Raises AdapterError where memory is not in row-major order."""
    if not tensor.is_contiguous():
        raise AdapterError(
            f"{name}: shape {tuple(tensor.shape)} with strides {tensor.stride()} is not row-major, so that no flat "
            "slice can alias it: make it contiguous before the optimizer is built"
        )
    return tensor.detach().view(-1)


def cut(whole: Slice, start: int, stop: int) -> Slice:
    """Return the part `[start, stop)` of a slice, aliasing the same memory."""
    view = whole.view.narrow(0, start - whole.start, stop - start)
    return Slice(whole.name, whole.kind, whole.shape, start, stop, view)


class Buffers:
    """A module's persistent buffers, as `state_dict` has them: the others are derived by the module itself.

    The places are looked up once, the tensors each time: assigning to a buffer's attribute replaces the tensor.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._places: list[tuple[str, torch.nn.Module, str]] = []
        seen: set[int] = set()
        for prefix, part in module.named_modules():
            for name, buffer in part.named_buffers(recurse=False):
                if name in part._non_persistent_buffers_set or id(buffer) in seen:
                    continue
                seen.add(id(buffer))
                self._places.append((f"{prefix}.{name}" if prefix else name, part, name))

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (name, tensor) of each buffer that has elements."""
        for name, part, attribute in self._places:
            buffer = getattr(part, attribute)
            if buffer is not None and buffer.numel():
                yield name, buffer


class SliceCache:
    """Keeps an adapter's slices until one of the tensors behind them is replaced.

    Somebody may rebind a buffer or load an optimizer's state dict: copying the old memory would then save stale
    state without a word. One pointer comparison per tensor and snapshot excludes it.
    """

    def __init__(self) -> None:
        self._pointers: list[int] | None = None
        self._kept: tuple[list[Slice], list[Slice]] = ([], [])

    def get(self, pointers: list[int]) -> tuple[list[Slice], list[Slice]] | None:
        """Return (owned, wanted) as last put, or None when a pointer has changed since."""
        return self._kept if pointers == self._pointers else None

    def put(self, pointers: list[int], owned: list[Slice], wanted: list[Slice]) -> None:
        """Keep (owned, wanted), which hold while `pointers` does not change."""
        self._pointers = pointers
        self._kept = (owned, wanted)


class Placement(Protocol):
    """What this rank holds of a tensor, and which part of that it saves."""

    def local(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the part of `tensor` that lies in this rank's memory."""
        ...

    def place(self, name: str, kind: str, tensor: torch.Tensor) -> tuple[Slice, tuple[int, int]]:
        """Return what this rank holds, and the interval (of the flat tensor) of it that this rank saves."""
        ...


class Replicated:
    """Whole tensors on every rank: rank r saves the r-th part of each, and rank 0 the buffers.

    Buffers may differ between ranks; rank 0's are kept, as DistributedDataParallel would broadcast them.
    """

    def __init__(self) -> None:
        self.rank, self.world_size = rank_and_world()

    def local(self, tensor: torch.Tensor) -> torch.Tensor:
        """See Placement."""
        return tensor

    def place(self, name: str, kind: str, tensor: torch.Tensor) -> tuple[Slice, tuple[int, int]]:
        """See Placement."""
        size = tensor.numel()
        whole = Slice(name, kind, tuple(tensor.shape), 0, size, flat_view(tensor, name))
        if kind == BUFFER:
            return whole, (0, size if self.rank == 0 else 0)
        return whole, share(0, size, self.rank, self.world_size)


class TorchAdapter:
    """StateAdapter of a torch module and its optimizer. `placement` says how tensors are spread over the ranks."""

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self._placement = placement or Replicated()
        self._cache = SliceCache()
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        self._buffers = Buffers(module)
        self._members: list[Member] = []
        self._group_names: list[list[str]] = []
        for index, group in enumerate(optimizer.param_groups if optimizer else []):
            self._group_names.append([])
            for parameter in group["params"]:
                if not parameter.requires_grad or not parameter.numel():
                    continue
                if id(parameter) not in names:
                    raise AdapterError(
                        f"parameter group {index} of {type(optimizer).__name__} holds a tensor of shape "
                        f"{tuple(parameter.shape)} that is no parameter of {type(module).__name__}"
                    )
                self._members.append(Member(parameter, index, (names[id(parameter)],)))
                self._group_names[index].append(names[id(parameter)])
        masters = {id(member.tensor) for member in self._members}
        # Listed now: FSDP registers gathered copies in the parameters' place while a module runs.
        self._frozen = [(n, p) for n, p in module.named_parameters() if id(p) not in masters and p.numel()]

    def owned(self) -> Sequence[Slice]:
        """See StateAdapter. Creates the optimizer's state at the first call."""
        return self._slices()[0]

    def wanted(self) -> Sequence[Slice]:
        """See StateAdapter. All that this rank holds, what other ranks save included."""
        return self._slices()[1]

    def scalars(self) -> dict[str, Json]:
        """See StateAdapter: step counts, and settings by parameter group."""
        if self.optimizer is None:
            return {}
        return {
            "groups": group_settings(self.optimizer, self._group_names),
            "steps": step_counts(self.optimizer, self._members),
        }

    def load_scalars(self, scalars: Mapping[str, Json]) -> None:
        """See StateAdapter."""
        if self.optimizer is None:
            return
        self._create_state()
        load_group_settings(self.optimizer, self._group_names, scalars["groups"])
        load_step_counts(self.optimizer, self._members, scalars["steps"])

    def finish_load(self) -> None:
        """See StateAdapter. Nothing is derived here: the masters are the model's own weights."""

    def _create_state(self) -> None:
        if self.optimizer is not None:
            for member in self._members:
                create_state(self.optimizer, member)

    def _tensors(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Yield (name, kind, tensor) of everything that is saved."""
        for member in self._members:
            yield member.names[0], MASTER, member.tensor
            assert self.optimizer is not None
            for kind, tensor in moments(self.optimizer, member).items():
                yield member.names[0], kind, tensor
        for name, parameter in self._frozen:
            yield name, FROZEN, parameter
        for name, buffer in self._buffers:
            yield name, BUFFER, buffer

    def _slices(self) -> tuple[list[Slice], list[Slice]]:
        self._create_state()
        tensors = list(self._tensors())
        pointers = [self._placement.local(tensor).data_ptr() for _, _, tensor in tensors]
        kept = self._cache.get(pointers)
        if kept is None:
            owned, wanted = [], []
            for name, kind, tensor in tensors:
                whole, mine = self._placement.place(name, kind, tensor)
                if whole.stop > whole.start:
                    wanted.append(whole)
                if mine[1] > mine[0]:
                    owned.append(cut(whole, *mine))
            kept = (owned, wanted)
            self._cache.put(pointers, owned, wanted)
        return kept
