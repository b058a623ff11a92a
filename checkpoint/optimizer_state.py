"""What an optimizer holds beside its parameters: moments, step counts, group settings.

Adam creates its moments at the first step. A checkpoint that is loaded before that step would lose them silently,
so they are created here, explicitly, with the values that the first step would start from.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from checkpoint.errors import AdapterError, IncompleteError
from checkpoint.state import Json

_STEP = "step"
_NOT_STATE = frozenset({"params", "param_names", "foreach", "fused", "capturable", "differentiable"})
"""Keys of a parameter group that say how to compute, not what: they belong to the machine, not to the state."""


@dataclass(frozen=True, eq=False)
class Member:
    """One tensor that the optimizer steps: a parameter, or a flat partition that holds parts of several.

    `group` indexes `optimizer.param_groups`; `names` are the model's parameters that it holds a part of, on any rank.
    """

    tensor: torch.Tensor
    group: int
    names: tuple[str, ...]


def create_state(optimizer: torch.optim.Optimizer, member: Member) -> None:
    """Create the state of `member` as the first step would, unless it exists.

    Raises AdapterError for an optimizer whose first state is not known here.
    """
    state = optimizer.state[member.tensor]
    if state:
        return
    group = optimizer.param_groups[member.group]
    family = type(optimizer).__name__
    if isinstance(optimizer, torch.optim.Adam):
        on_device = group["capturable"] or group["fused"]
        device = member.tensor.device if on_device else torch.device("cpu")
        state[_STEP] = torch.zeros((), dtype=torch.float32, device=device)
    elif family == "DeepSpeedCPUAdam":
        state[_STEP] = 0
    elif family == "FusedAdam":
        group.setdefault(_STEP, 0)
    elif isinstance(optimizer, torch.optim.SGD) and not (group["momentum"] and group["dampening"]):
        if group["momentum"]:
            state["momentum_buffer"] = _zeros(member.tensor)
        return
    else:
        raise AdapterError(
            f"optimizer {type(optimizer).__module__}.{family}: its state before the first step is not known; "
            "use Adam, AdamW, DeepSpeed's FusedAdam or CPUAdam, or SGD without dampening"
        )
    state["exp_avg"] = _zeros(member.tensor)
    state["exp_avg_sq"] = _zeros(member.tensor)
    if group.get("amsgrad"):
        state["max_exp_avg_sq"] = _zeros(member.tensor)


def _zeros(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor.detach(), memory_format=torch.preserve_format)


def moments(optimizer: torch.optim.Optimizer, member: Member) -> dict[str, torch.Tensor]:
    """Return the state tensors of `member` by name, each of the member's own shape.

    The step count is no moment, even where a scalar parameter gives it the same shape. Raises AdapterError for state
    of another shape: it has no place in flat slices.
    """
    found = {}
    for key, value in optimizer.state[member.tensor].items():
        if key == _STEP or not isinstance(value, torch.Tensor):
            continue
        if value.shape != member.tensor.shape:
            raise AdapterError(
                f"optimizer state {key!r} of {member.names[0]} has shape {tuple(value.shape)}, its parameter "
                f"{tuple(member.tensor.shape)}: only state of the parameter's shape can be saved"
            )
        found[key] = value
    return found


def step_counts(optimizer: torch.optim.Optimizer, members: Sequence[Member]) -> Json:
    """Return how often each parameter was stepped: the common count, and by name those that differ."""
    counts = {name: _step_of(optimizer, member) for member in members for name in member.names}
    if not counts:
        return {"common": 0.0, "others": {}}
    common = Counter(counts.values()).most_common(1)[0][0]
    return {"common": common, "others": {name: count for name, count in counts.items() if count != common}}


def load_step_counts(optimizer: torch.optim.Optimizer, members: Sequence[Member], saved: Json) -> None:
    """Put back what `step_counts` returned.

    Raises AdapterError when one flat partition would need several counts.
    """
    table = cast("dict[str, Any]", saved)
    others: Mapping[str, float] = table["others"]
    for member in members:
        counts = {float(others.get(name, table["common"])) for name in member.names}
        if len(counts) > 1:
            raise AdapterError(
                f"step counts {sorted(counts)} meet in one flat partition ({member.names[0]}, ...), which holds only "
                "one: resume with the engine and ZeRO stage that saved them"
            )
        _set_step(optimizer, member, counts.pop())


def _step_of(optimizer: torch.optim.Optimizer, member: Member) -> float:
    step = optimizer.state[member.tensor].get(_STEP)
    return float(optimizer.param_groups[member.group].get(_STEP, 0) if step is None else step)


def _set_step(optimizer: torch.optim.Optimizer, member: Member, count: float) -> None:
    state = optimizer.state[member.tensor]
    step = state.get(_STEP)
    if isinstance(step, torch.Tensor):
        step.fill_(count)
    elif step is not None:
        state[_STEP] = int(count)
    elif _STEP in optimizer.param_groups[member.group]:
        optimizer.param_groups[member.group][_STEP] = int(count)


def group_settings(optimizer: torch.optim.Optimizer, names: Sequence[Sequence[str]]) -> Json:
    """Return each parameter group's settings (learning rate, betas, ...) with the names of its parameters."""
    saved: list[Json] = []
    for group, members in zip(optimizer.param_groups, names, strict=True):
        settings: dict[str, Json] = {
            key: to_json(value, f"parameter group setting {key!r}")
            for key, value in group.items()
            if key not in _NOT_STATE
        }
        saved.append({"names": list(members), "settings": settings})
    return saved


def load_group_settings(optimizer: torch.optim.Optimizer, names: Sequence[Sequence[str]], saved: Json) -> None:
    """Put settings back group by group, matched by the names of the parameters, whatever the order of the groups.

    Raises IncompleteError for a parameter that the saved groups do not name, AdapterError when a group now holds
    parameters whose saved settings differ.
    """
    by_name: dict[str, dict[str, Json]] = {}
    for group in cast("list[dict[str, Any]]", saved):
        by_name.update(dict.fromkeys(group["names"], group["settings"]))
    for index, members in enumerate(names):
        missing = [name for name in members if name not in by_name]
        if missing:
            raise IncompleteError(f"parameter {missing[0]} is in no saved parameter group ({len(missing)} missing)")
        if not members:
            continue
        settings = by_name[members[0]]
        for name in members:
            if by_name[name] != settings:
                raise AdapterError(
                    f"parameter group {index} now holds {members[0]} and {name}, which were saved with different "
                    f"settings ({settings} and {by_name[name]}): keep them in different groups"
                )
        _put_settings(optimizer.param_groups[index], settings)


def _put_settings(group: dict[str, Any], settings: Mapping[str, Json]) -> None:
    for key, value in settings.items():
        live = group.get(key)
        if isinstance(live, torch.Tensor):
            live.fill_(cast("float", value))
        else:
            group[key] = tuple(value) if isinstance(value, list) else value


def to_json(value: object, what: str) -> Json:
    """Return `value` as JSON, exactly. Raises AdapterError for what JSON cannot say."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item, what) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item, f"{what}, {key!r}") for key, item in value.items()}
    raise AdapterError(f"{what}: {value!r} of type {type(value).__name__} cannot be saved as JSON")
