"""Any torch module, counted as it runs on the meta device: nothing is allocated. The only file here with torch."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from planner.architectures.operations import BatchShape, Block, Kind, Operation
from planner.errors import BadInputError

Inputs = Callable[[BatchShape], Mapping[str, Any]]
"""Returns the keyword arguments of the module's forward pass for a batch, with tensors on the meta device."""

_aten = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]


def _convolution_backward(gradient: Any, x: Any, weight: Any, *rest: Any, **_: Any) -> int:
    """Count each wanted gradient as much as the forward pass. torch counts that of grouped weights `groups` times."""
    _bias, _stride, _padding, _dilation, is_transposed, _output_padding, _groups, mask = rest[:8]
    positions = prod(x[2:] if is_transposed else gradient[2:])
    return int(2 * x[0] * positions * prod(weight) * (bool(mask[0]) + bool(mask[1])))


FORMULAS: dict[Any, Callable[..., int]] = {
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten.convolution_backward: _convolution_backward,
}
"""What torch 2.13 counts as nothing (attention of the CPU) or wrongly (gradients of grouped convolutions)."""

_KINDS = {
    _aten.bmm: Kind.ATTENTION,
    _aten.baddbmm: Kind.ATTENTION,
    _aten.convolution: Kind.CONVOLUTION,
    _aten.mm: Kind.MATMUL,
    _aten.addmm: Kind.MATMUL,
}


@dataclass(frozen=True)
class ModuleModel:
    """A torch module as an architecture: one operation for each of its modules that computes. Satisfies Architecture.

    The module must be on the meta device, and its forward pass must not look into its data.
    """

    name: str
    module: torch.nn.Module
    inputs: Inputs

    def blocks(self, shape: BatchShape) -> tuple[Block, ...]:
        """Run forward and backward for a batch of `shape`, and return one block. Raises BadInputError."""
        devices = {parameter.device.type for parameter in self.module.parameters()}
        if devices - {"meta"}:
            raise BadInputError(
                f"{self.name}: its weights are on {', '.join(sorted(devices))}: build it on the meta device"
            )
        forward, both, saved = _run(self.module, self.inputs(shape))
        operations = [
            _operation(name, module, forward.get(name, {}), both.get(name, {}), saved.get(name, 0))
            for name, module in self.module.named_modules()
        ]
        kept = [one for one in operations if one.forward_flops or one.parameters or one.saved_elements]
        return (Block(self.name, 1, tuple(kept)),)


def count_module(module: torch.nn.Module, inputs: Mapping[str, Any]) -> tuple[int, int]:
    """Return the FLOPs of a forward pass, and of the forward and backward pass of the sum of its outputs."""
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        out = module(**inputs)
        forward = counter.get_total_flops()
        total = scalar(out)
        if total.requires_grad:
            torch.autograd.backward(total)
    return forward, counter.get_total_flops()


def scalar(out: Any) -> torch.Tensor:
    """Return the sum of all floating tensors in a module's output, however they are nested."""
    tensors = _tensors(out)
    if not tensors:
        raise BadInputError(f"a module returned {type(out).__name__}, in which there is no floating tensor")
    total = tensors[0].sum()
    for tensor in tensors[1:]:
        total = total + tensor.sum()
    return total


def _tensors(out: Any) -> list[torch.Tensor]:
    if isinstance(out, torch.Tensor):
        return [out] if out.is_floating_point() else []
    parts = out.values() if isinstance(out, Mapping) else out if isinstance(out, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _run(
    module: torch.nn.Module, inputs: Mapping[str, Any]
) -> tuple[dict[str, dict[Any, int]], dict[str, dict[Any, int]], dict[str, int]]:
    """Return per module the FLOPs of forward, of both passes, each less those of its children; and elements kept."""
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    root = type(module).__name__
    own = {id(tensor.untyped_storage()) for tensor in module.parameters()}
    seen: set[int] = set()
    kept: dict[str, int] = defaultdict(int)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in own and storage._cdata not in seen:
            seen.add(storage._cdata)
            deepest = max((name for name in counter.mod_tracker.parents if name != "Global"), key=len, default=root)
            kept[deepest] += tensor.numel()
        return tensor

    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(**inputs)
        forward = counter.get_flop_counts()
        total = scalar(out)
        if total.requires_grad:
            torch.autograd.backward(total)
    after = counter.get_flop_counts()
    named = [{_below(root, name): values for name, values in _exclusive(found).items()} for found in (forward, after)]
    return named[0], named[1], {_below(root, name): number for name, number in kept.items()}


def _below(root: str, name: str) -> str:
    """Return the name of a module below the one that was run; "" for itself."""
    return name.removeprefix(root).removeprefix(".") if name != "Global" else "Global"


def _exclusive(counts: Mapping[str, Mapping[Any, int]]) -> dict[str, dict[Any, int]]:
    """Return the counts of each module less those of the modules directly below it."""
    found = {name: defaultdict(int, values) for name, values in counts.items()}
    for name, values in counts.items():
        parent = name.rpartition(".")[0]
        while parent and parent not in counts:
            parent = parent.rpartition(".")[0]
        if parent:
            for operation, flops in values.items():
                found[parent][operation] -= flops
    return {name: dict(values) for name, values in found.items()}


def _operation(
    name: str, module: torch.nn.Module, forward: Mapping[Any, int], both: Mapping[Any, int], saved: int
) -> Operation:
    weights = list(module.parameters(recurse=False))
    flops, backward = sum(forward.values()), sum(both.values()) - sum(forward.values())
    trainable = not weights or any(weight.requires_grad for weight in weights)
    kinds = [_KINDS.get(operation, Kind.ATTENTION) for operation, count in forward.items() if count]
    weight_gradient = min(flops, backward) if weights and trainable else 0
    number = sum(weight.numel() for weight in weights)
    return Operation(
        name or type(module).__name__,
        kinds[0] if kinds else Kind.ELEMENTWISE,
        flops,
        backward - weight_gradient,
        weight_gradient,
        parameters=number,
        active_parameters=number,
        trainable=trainable,
        saved_elements=saved,
        is_embedding=isinstance(module, torch.nn.Embedding),
    )
