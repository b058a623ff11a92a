"""State of a DeepSpeed engine: ZeRO 0, 1, 2 and 3 and BF16_Optimizer. Written against DeepSpeed 0.19.

DeepSpeed keeps fp32 masters and moments in flat partitions per rank. Each of its optimizers records where in them
the parts of a parameter lie; those records, and nothing gathered, make the named slices.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
from deepspeed.runtime.fp16.fused_optimizer import FP16_Optimizer
from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

from checkpoint.adapter_torch import Buffers, SliceCache, TorchAdapter, cut, flat_view, rank_and_world, share
from checkpoint.deepspeed_layouts import (
    FusedLayout,
    Layout,
    PartitionedLayout,
    WholeLayout,
    Zero3Layout,
    deepspeed_version,
    parameter_name,
    require,
)
from checkpoint.errors import AdapterError
from checkpoint.optimizer_state import (
    create_state,
    group_settings,
    load_group_settings,
    load_step_counts,
    moments,
    step_counts,
    to_json,
)
from checkpoint.state import BUFFER, FROZEN, MASTER, Json, Slice

_COUNTERS = ("global_steps", "global_samples", "skipped_steps")
ENGINE_REQUIRED = (*_COUNTERS, "module", "optimizer", "micro_steps", "gradient_accumulation_steps", "lr_scheduler")
"""Attributes of DeepSpeedEngine that are read or written here."""


def layout_of(optimizer: Any, names: Mapping[int, str]) -> Layout:
    """Return the layout of one of DeepSpeed's optimizers; `names` maps the id of each parameter to its name.

    Raises AdapterError, with DeepSpeed's version, for another optimizer or a missing attribute.
    """
    if isinstance(optimizer, DeepSpeedZeroOptimizer):
        require(optimizer, PartitionedLayout.REQUIRED)
        return PartitionedLayout(optimizer, names, "bit16_groups", "single_partition_of_fp32_groups")
    if isinstance(optimizer, BF16_Optimizer):
        require(optimizer, PartitionedLayout.REQUIRED)
        return PartitionedLayout(optimizer, names, "bf16_groups", "fp32_groups_flat_partition")
    kinds: tuple[tuple[type, Callable[[Any, Mapping[int, str]], Layout], tuple[str, ...]], ...] = (
        (DeepSpeedZeroOptimizer_Stage3, Zero3Layout, Zero3Layout.REQUIRED),
        (FP16_UnfusedOptimizer, WholeLayout, WholeLayout.REQUIRED),
        (FP16_Optimizer, FusedLayout, FusedLayout.REQUIRED),
    )
    for kind, layout, required in kinds:
        if isinstance(optimizer, kind):
            require(optimizer, required)
            return layout(optimizer, names)
    raise AdapterError(
        f"DeepSpeed {deepspeed_version()}: engine.optimizer is a {type(optimizer).__name__}, whose layout is not "
        "known; supported are ZeRO 0 to 3 and BF16_Optimizer with an optimizer of the model's parameters"
    )


class DeepSpeedAdapter:
    """StateAdapter of a DeepSpeedEngine. Buffers are saved by rank 0; frozen weights once, divided over the ranks."""

    def __init__(self, engine: Any) -> None:
        require(engine, ENGINE_REQUIRED)
        if getattr(engine, "has_moe_layers", False):
            raise AdapterError("the engine has mixture-of-experts layers: their expert groups cannot be saved yet")
        self.engine = engine
        self.rank, self.world_size = rank_and_world()
        self._cache = SliceCache()
        self._plain: TorchAdapter | None = None
        if isinstance(engine.optimizer, torch.optim.Optimizer):
            # ZeRO 0 in fp32: DeepSpeed leaves the caller's optimizer and weights as they are.
            self._plain = TorchAdapter(engine.module, engine.optimizer)
            return
        names = {id(parameter): name for name, parameter in engine.module.named_parameters()}
        self._layout = layout_of(engine.optimizer, names)
        self._inner: torch.optim.Optimizer = engine.optimizer.optimizer
        self._members = self._layout.members()
        self._group_names = [[parameter_name(names, p) for p in group] for group in self._layout.groups()]
        masters = {id(parameter) for group in self._layout.groups() for parameter in group}
        self._frozen = [(n, p) for n, p in engine.module.named_parameters() if id(p) not in masters]
        self._buffers = Buffers(engine.module)

    def owned(self) -> Sequence[Slice]:
        """See StateAdapter. Creates the optimizer's state at the first call."""
        return self._plain.owned() if self._plain else self._slices()[0]

    def wanted(self) -> Sequence[Slice]:
        """See StateAdapter."""
        return self._plain.wanted() if self._plain else self._slices()[1]

    def scalars(self) -> dict[str, Json]:
        """See StateAdapter. Raises AdapterError inside a gradient accumulation: that part of a step is not saved."""
        engine = self.engine
        if engine.micro_steps % engine.gradient_accumulation_steps():
            raise AdapterError(
                f"engine.micro_steps = {engine.micro_steps}: a snapshot is possible only when the "
                f"{engine.gradient_accumulation_steps()} micro-batches of a step are complete"
            )
        schedule = engine.lr_scheduler.state_dict() if engine.lr_scheduler is not None else None
        if self._plain:
            scalars = self._plain.scalars()
        else:
            scalars = {
                "groups": group_settings(self._inner, self._group_names),
                "steps": step_counts(self._inner, self._members),
                "loss_scale": _loss_scale(engine.optimizer),
            }
        scalars["engine"] = {name: int(getattr(engine, name)) for name in _COUNTERS}
        scalars["schedule"] = to_json(schedule, "state of the learning-rate schedule")
        return scalars

    def load_scalars(self, scalars: Mapping[str, Json]) -> None:
        """See StateAdapter. What another kind of engine did not save (counters, schedule, loss scale) stays."""
        engine = self.engine
        if self._plain:
            self._plain.load_scalars(scalars)
        else:
            self._create_state()
            load_group_settings(self._inner, self._group_names, scalars["groups"])
            load_step_counts(self._inner, self._members, scalars["steps"])
            _load_loss_scale(engine.optimizer, scalars.get("loss_scale"))
        for name, value in cast("dict[str, int]", scalars.get("engine") or {}).items():
            setattr(engine, name, value)
        engine.micro_steps = engine.global_steps * engine.gradient_accumulation_steps()
        if engine.lr_scheduler is not None and scalars.get("schedule"):
            engine.lr_scheduler.load_state_dict(cast("dict[str, Any]", scalars["schedule"]))

    def finish_load(self) -> None:
        """See StateAdapter: zeroes the padding of the flat partitions and rebuilds the low-precision weights."""
        if self._plain:
            self._plain.finish_load()
            return
        with torch.no_grad():
            self._zero_padding()
            self._layout.rebuild()

    def _create_state(self) -> None:
        for member in self._members:
            create_state(self._inner, member)

    def _flats(self, index: int) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (kind, flat tensor) of one member's master and moments."""
        member = self._members[index]
        yield MASTER, flat_view(member.tensor, f"master of group {member.group}")
        for kind, tensor in moments(self._inner, member).items():
            yield kind, flat_view(tensor, f"{kind} of group {member.group}")

    def _zero_padding(self) -> None:
        covered: list[list[tuple[int, int]]] = [[] for _ in self._members]
        for fragment in self._layout.fragments():
            covered[fragment.member].append((fragment.offset, fragment.offset + fragment.stop - fragment.start))
        for index, intervals in enumerate(covered):
            for _, flat in self._flats(index):
                end = 0
                for start, stop in sorted(intervals):
                    flat[end:start].zero_()
                    end = stop
                flat[end:].zero_()

    def _slices(self) -> tuple[list[Slice], list[Slice]]:
        self._create_state()
        flats = [dict(self._flats(index)) for index in range(len(self._members))]
        others = list(self._others())
        pointers = [flat.data_ptr() for kinds in flats for flat in kinds.values()]
        pointers += [whole.view.data_ptr() for whole, _ in others]
        kept = self._cache.get(pointers)
        if kept is None:
            wanted = [piece for piece in self._master_slices(flats) if piece.stop > piece.start]
            owned = self._mine(wanted) if self._layout.replicated else list(wanted)
            for whole, mine in others:
                if whole.stop > whole.start:
                    wanted.append(whole)
                if mine[1] > mine[0]:
                    owned.append(cut(whole, *mine))
            kept = (owned, wanted)
            self._cache.put(pointers, owned, wanted)
        return kept

    def _mine(self, whole: Sequence[Slice]) -> list[Slice]:
        parts = ((piece, share(piece.start, piece.stop, self.rank, self.world_size)) for piece in whole)
        return [cut(piece, *part) for piece, part in parts if part[1] > part[0]]

    def _master_slices(self, flats: Sequence[Mapping[str, torch.Tensor]]) -> Iterator[Slice]:
        for part in self._layout.fragments():
            for kind, flat in flats[part.member].items():
                view = flat.narrow(0, part.offset, part.stop - part.start)
                yield Slice(part.name, kind, part.shape, part.start, part.stop, view)

    def _others(self) -> Iterator[tuple[Slice, tuple[int, int]]]:
        """Yield what no optimizer owns (frozen weights, buffers) and the interval of it that this rank saves."""
        for name, parameter in self._frozen:
            if hasattr(parameter, "ds_tensor"):
                yield _frozen_partition(name, parameter, self.rank)
            elif parameter.numel():
                size = parameter.numel()
                whole = Slice(name, FROZEN, tuple(parameter.shape), 0, size, flat_view(parameter, name))
                yield whole, share(0, size, self.rank, self.world_size)
        for name, buffer in self._buffers:
            whole = Slice(name, BUFFER, tuple(buffer.shape), 0, buffer.numel(), flat_view(buffer, name))
            yield whole, (0, buffer.numel() if self.rank == 0 else 0)


def _frozen_partition(name: str, parameter: Any, rank: int) -> tuple[Slice, tuple[int, int]]:
    """Return this rank's part of a frozen ZeRO-3 parameter, all of which it saves."""
    require(parameter, ("ds_numel", "ds_shape"))
    require(parameter.ds_tensor, ("ds_numel",))
    start = min(rank * parameter.ds_tensor.ds_numel, parameter.ds_numel)
    stop = min(start + parameter.ds_tensor.ds_numel, parameter.ds_numel)
    view = flat_view(parameter.ds_tensor, name)[: stop - start]
    return Slice(name, FROZEN, tuple(parameter.ds_shape), start, stop, view), (start, stop)


def _scaler(optimizer: Any) -> Any:
    return getattr(optimizer, "loss_scaler", None) or getattr(optimizer, "loss_scale_config", None)


def _loss_scale(optimizer: Any) -> Json:
    """Return the numbers of DeepSpeed's loss scaler (BF16_Optimizer has none)."""
    scaler = _scaler(optimizer)
    return {key: value for key, value in vars(scaler).items() if isinstance(value, int | float)} if scaler else None


def _load_loss_scale(optimizer: Any, saved: Json) -> None:
    scaler = _scaler(optimizer)
    if scaler is not None and isinstance(saved, dict):
        for key, value in saved.items():
            if hasattr(scaler, key):
                setattr(scaler, key, value)
