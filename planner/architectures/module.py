"""Any torch module, counted as it runs on the meta device: nothing is allocated. The only file here with torch."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from planner.architectures.model import Model
from planner.architectures.operations import BatchShape, Kind, Operation
from planner.architectures.tape import Tape
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

_OF_WEIGHTS = (_aten.convolution, _aten.mm, _aten.addmm)
"""What a module with weights of its own does with them."""


def read_module(name: str, module: torch.nn.Module, inputs: Inputs, own: BatchShape) -> Model:
    """Return any module as a model: one operation for each of its modules that computes, and their input gradients.

    Forward and backward are run for each shape that is asked for; parameters say by `requires_grad` whether they are
    trained. Which module's input a gradient is for, torch does not tell reliably: they are one operation. Raises
    BadInputError where a weight is not on the meta device. The forward pass must not look into its data.

    Args:
        name: what it is called.
        module: on the meta device.
        inputs: makes the arguments of its forward pass.
        own: the shape for what a batch leaves open.
    """
    devices = {parameter.device.type for parameter in module.parameters()}
    if devices - {"meta"}:
        raise BadInputError(f"{name}: its weights are on {', '.join(sorted(devices))}: build it on the meta device")

    def forward(tape: Tape, shape: BatchShape) -> None:
        tape.block(name)
        counts, backward, saved = _run(module, inputs(shape))
        seen: set[torch.nn.Parameter] = set()
        for path, part in module.named_modules():
            weights = [weight for weight in part.parameters(recurse=False) if weight not in seen]
            seen.update(weights)
            one = _operation(path or name, weights, counts.get(path, {}), saved.get(path, 0))
            if one.forward_flops or one.parameters or one.saved_elements:
                tape.write(replace(one, is_embedding=isinstance(part, torch.nn.Embedding)))
                backward -= one.weight_gradient_flops
        tape.write(Operation("input gradients", Kind.MATMUL, input_gradient_flops=backward))

    return Model(name, forward, own)


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


def _run(module: torch.nn.Module, inputs: Mapping[str, Any]) -> tuple[dict[str, dict[Any, int]], int, dict[str, int]]:
    """Return the forward FLOPs of each module less those below it, those of the backward pass, and elements kept."""
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    root = type(module).__name__
    own = {weight.untyped_storage()._cdata for weight in module.parameters()}
    kept: dict[str, int] = defaultdict(int)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            own.add(storage)
            deepest = max((name for name in counter.mod_tracker.parents if name != "Global"), key=len, default=root)
            kept[deepest] += tensor.numel()
        return tensor

    with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(**inputs)
        forward = counter.get_flop_counts()
        ahead = counter.get_total_flops()
        total = scalar(out)
        if total.requires_grad:
            torch.autograd.backward(total)
        backward = counter.get_total_flops() - ahead
    exclusive = {_below(root, name): values for name, values in _exclusive(forward).items()}
    return exclusive, backward, {_below(root, name): number for name, number in kept.items()}


def _below(root: str, name: str) -> str:
    """Return the name of a module below the one that was run; "" for itself."""
    return name.removeprefix(root).removeprefix(".") if name != "Global" else name


def _exclusive(counts: Mapping[str, Mapping[Any, int]]) -> dict[str, dict[Any, int]]:
    """Return the counts of each module less those of the modules directly below it."""
    found = {name: dict(values) for name, values in counts.items()}
    for name, values in counts.items():
        parent = name.rpartition(".")[0]
        while parent and parent not in counts:
            parent = parent.rpartition(".")[0]
        if parent:
            for operation, flops in values.items():
                found[parent][operation] -= flops
    return found


def _operation(name: str, weights: list[torch.nn.Parameter], forward: Mapping[Any, int], saved: int) -> Operation:
    trainable = not weights or any(weight.requires_grad for weight in weights)
    of_weights = sum(flops for operation, flops in forward.items() if operation in _OF_WEIGHTS)
    kinds = [_KINDS.get(operation, Kind.ATTENTION) for operation, flops in forward.items() if flops]
    number = sum(weight.numel() for weight in weights)
    return Operation(
        name,
        kinds[0] if kinds else Kind.ELEMENTWISE,
        sum(forward.values()),
        weight_gradient_flops=of_weights if weights and trainable else 0,
        parameters=number,
        active_parameters=number,
        trainable=trainable,
        saved_elements=saved,
    )
