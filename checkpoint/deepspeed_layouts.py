"""Where DeepSpeed's optimizers keep a parameter's master and moments: one layout per kind of optimizer.

Every attribute used here that DeepSpeed does not document is listed in a layout's `REQUIRED`, and looked for before
anything else. DeepSpeed itself is not imported: `adapter_deepspeed` chooses the layout.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar, Protocol, cast

import torch

from checkpoint.errors import AdapterError
from checkpoint.optimizer_state import Member


def deepspeed_version() -> str:
    """Return the version of the installed DeepSpeed, for messages."""
    return metadata.version("deepspeed")


def require(thing: object, attributes: Sequence[str]) -> None:
    """Raise AdapterError, with DeepSpeed's version, for each attribute that `thing` lacks."""
    missing = [name for name in attributes if not hasattr(thing, name)]
    if missing:
        raise AdapterError(
            f"DeepSpeed {deepspeed_version()}: {type(thing).__name__} has no attribute {', '.join(missing)}, on which "
            "this adapter (written for 0.19) relies: install deepspeed>=0.19.8,<0.20"
        )


def parameter_name(names: Mapping[int, str], parameter: torch.Tensor) -> str:
    """Return a parameter's name in the model. Raises AdapterError for a tensor that the model does not have."""
    name = names.get(id(parameter))
    if name is None:
        raise AdapterError(f"the engine's optimizer holds a tensor of shape {tuple(parameter.shape)} without a name")
    return name


@dataclass(frozen=True, eq=False)
class Fragment:
    """The interval `[start, stop)` of one parameter, and where in a member's flat tensor it lies."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int
    member: int
    offset: int


class Layout(Protocol):
    """How one of DeepSpeed's optimizers lays out its masters. All answers are rank-local except `rebuild`."""

    REQUIRED: ClassVar[tuple[str, ...]]
    replicated: bool
    """Each rank holds all masters, so that the ranks divide them when saving."""

    def groups(self) -> list[list[torch.nn.Parameter]]:
        """Return the model's parameters by parameter group."""
        ...

    def members(self) -> list[Member]:
        """Return the master tensors that this rank's optimizer steps."""
        ...

    def fragments(self) -> Iterator[Fragment]:
        """Yield what this rank's masters hold."""
        ...

    def rebuild(self) -> None:
        """Derive the low-precision weights from the masters. Collective."""
        ...


class PartitionedLayout:
    """ZeRO 1 and 2, and BF16_Optimizer: one flat partition per parameter group; `_hp_mapping` locates parameters."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("optimizer", "update_lp_params")
    replicated = False

    def __init__(self, optimizer: Any, names: Mapping[int, str], groups: str, flats: str) -> None:
        require(optimizer, (groups, flats))
        self._optimizer, self._names = optimizer, names
        self._groups: list[list[torch.nn.Parameter]] = getattr(optimizer, groups)
        self._flats: list[torch.Tensor] = getattr(optimizer, flats)

    def groups(self) -> list[list[torch.nn.Parameter]]:
        """See Layout."""
        return self._groups

    def members(self) -> list[Member]:
        """See Layout."""
        return [
            Member(flat, index, tuple(parameter_name(self._names, p) for p in group))
            for index, (flat, group) in enumerate(zip(self._flats, self._groups, strict=True))
        ]

    def fragments(self) -> Iterator[Fragment]:
        """See Layout. Round-robin order and alignment gaps are why positions are never added up from sizes."""
        for index, group in enumerate(self._groups):
            for parameter in group:
                require(parameter, ("_hp_mapping",))
                mapping: Any = cast("Any", parameter)._hp_mapping
                if mapping is None:
                    continue
                start, size = mapping.lp_fragment_address.start, mapping.lp_fragment_address.numel
                yield Fragment(
                    parameter_name(self._names, parameter),
                    tuple(parameter.shape),
                    start,
                    start + size,
                    index,
                    mapping.hp_fragment_address.start,
                )

    def rebuild(self) -> None:
        """See Layout: cast, and all-gather the ranks' partitions."""
        self._optimizer.update_lp_params()


class Zero3Layout:
    """ZeRO 3: one flat partition per sub-group; each parameter is split evenly over the ranks, its tail padded."""

    REQUIRED: ClassVar[tuple[str, ...]] = (
        "optimizer", "fp16_groups", "fp32_partitioned_groups_flat", "fp16_partitioned_groups_flat",
        "sub_group_to_group_id", "grad_position", "get_param_id", "_get_param_partition_rank",
        "_unflatten_partitioned_parameters", "_partition_all_parameters", "persistent_parameters", "swap_optimizer",
    )  # fmt: skip
    replicated = False

    def __init__(self, optimizer: Any, names: Mapping[int, str]) -> None:
        if optimizer.swap_optimizer:
            raise AdapterError("deepspeed.zero_optimization.offload_optimizer.device = nvme: must be cpu or none")
        self._optimizer, self._names = optimizer, names

    def groups(self) -> list[list[torch.nn.Parameter]]:
        """See Layout."""
        groups: list[list[torch.nn.Parameter]] = [[] for _ in self._optimizer.optimizer.param_groups]
        for index, sub_group in enumerate(self._optimizer.fp16_groups):
            groups[self._optimizer.sub_group_to_group_id[index]].extend(sub_group)
        return groups

    def members(self) -> list[Member]:
        """See Layout."""
        optimizer = self._optimizer
        return [
            Member(flat, optimizer.sub_group_to_group_id[i], tuple(parameter_name(self._names, p) for p in sub_group))
            for i, (flat, sub_group) in enumerate(
                zip(optimizer.fp32_partitioned_groups_flat, optimizer.fp16_groups, strict=True)
            )
        ]

    def fragments(self) -> Iterator[Fragment]:
        """See Layout."""
        for sub_group in self._optimizer.fp16_groups:
            for parameter in sub_group:
                index, offset, size = self._optimizer.grad_position[self._optimizer.get_param_id(parameter)]
                start = min(self._optimizer._get_param_partition_rank(parameter) * size, parameter.ds_numel)
                stop = min(start + size, parameter.ds_numel)
                name, shape = parameter_name(self._names, parameter), tuple(parameter.ds_shape)
                yield Fragment(name, shape, start, stop, index, offset)

    def rebuild(self) -> None:
        """See Layout. Gathered copies are dropped first: they show the weights from before the load."""
        optimizer = self._optimizer
        optimizer._partition_all_parameters()
        for index, flat in enumerate(optimizer.fp32_partitioned_groups_flat):
            optimizer.fp16_partitioned_groups_flat[index].data.copy_(flat.data)
            optimizer._unflatten_partitioned_parameters(index)
        if optimizer.persistent_parameters:
            optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)


class WholeLayout:
    """ZeRO 0 in low precision with torch's optimizers: one fp32 master per parameter, whole on every rank."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("optimizer", "fp16_groups", "fp32_groups")
    replicated = True

    def __init__(self, optimizer: Any, names: Mapping[int, str]) -> None:
        self._optimizer, self._names = optimizer, names

    def groups(self) -> list[list[torch.nn.Parameter]]:
        """See Layout."""
        return cast("list[list[torch.nn.Parameter]]", self._optimizer.fp16_groups)

    def members(self) -> list[Member]:
        """See Layout."""
        return [
            Member(master, index, (parameter_name(self._names, parameter),))
            for index, (masters, group) in enumerate(zip(self._optimizer.fp32_groups, self.groups(), strict=True))
            for master, parameter in zip(masters, group, strict=True)
        ]

    def fragments(self) -> Iterator[Fragment]:
        """See Layout."""
        for index, member in enumerate(self.members()):
            yield Fragment(member.names[0], tuple(member.tensor.shape), 0, member.tensor.numel(), index, 0)

    def rebuild(self) -> None:
        """See Layout."""
        for masters, group in zip(self._optimizer.fp32_groups, self.groups(), strict=True):
            for master, parameter in zip(masters, group, strict=True):
                parameter.data.copy_(master.data)


class FusedLayout:
    """ZeRO 0 in low precision with DeepSpeed's FusedAdam: one flat fp32 master per group, whole on every rank."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("optimizer", "fp16_groups", "fp16_groups_flat", "fp32_groups_flat")
    replicated = True

    def __init__(self, optimizer: Any, names: Mapping[int, str]) -> None:
        self._optimizer, self._names = optimizer, names

    def groups(self) -> list[list[torch.nn.Parameter]]:
        """See Layout."""
        return cast("list[list[torch.nn.Parameter]]", self._optimizer.fp16_groups)

    def members(self) -> list[Member]:
        """See Layout."""
        return [
            Member(flat, index, tuple(parameter_name(self._names, p) for p in group))
            for index, (flat, group) in enumerate(zip(self._optimizer.fp32_groups_flat, self.groups(), strict=True))
        ]

    def fragments(self) -> Iterator[Fragment]:
        """See Layout. Parameters follow one another without gaps (torch's flatten)."""
        for index, group in enumerate(self.groups()):
            offset = 0
            for parameter in group:
                size = parameter.numel()
                yield Fragment(parameter_name(self._names, parameter), tuple(parameter.shape), 0, size, index, offset)
                offset += size

    def rebuild(self) -> None:
        """See Layout: the model's weights are views of the low-precision flat tensors."""
        for low, master in zip(self._optimizer.fp16_groups_flat, self._optimizer.fp32_groups_flat, strict=True):
            low.data.copy_(master.data)
