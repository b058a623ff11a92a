"""The one module that asks which device this process runs on. Written on torch.accelerator."""

import resource
from dataclasses import dataclass
from typing import Any

import torch

from trainer.accelerators import Accelerator
from trainer.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Device:
    """The device of this process: where tensors live, and the collective backend that reaches the other ranks."""

    accelerator: Accelerator
    torch_device: torch.device

    @property
    def backend(self) -> str:
        """The torch.distributed backend for tensors on this device."""
        return self.accelerator.backend

    def to(self, value: Any) -> Any:
        """Return `value` with every tensor in mappings, lists and tuples moved to the device."""
        if isinstance(value, torch.Tensor):
            return value.to(self.torch_device, non_blocking=True)
        if isinstance(value, dict):
            return {key: self.to(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.to(item) for item in value))
        if isinstance(value, (list, tuple)):
            return type(value)(self.to(item) for item in value)
        return value


def open_device(accelerator: Accelerator, *, threads: int) -> Device:
    """Make this process use its device; `threads` is the number of CPU threads of torch.

    Called once per worker process, whose environment names the accelerator in DS_ACCELERATOR. Ray shows each worker
    only its own accelerators, so the index is always 0. Raises DeviceError.
    """
    torch.set_num_threads(threads)
    if accelerator.kind == "cpu":
        return Device(accelerator, torch.device("cpu"))
    current = torch.accelerator.current_accelerator()
    if current is None or current.type != accelerator.torch_type:
        raise DeviceError(
            f"this worker was placed on {accelerator.kind}, but torch sees {current or 'no accelerator'}; "
            "install the torch build for it, or set cluster.accelerator=cpu"
        )
    torch.accelerator.set_device_index(0)
    return Device(accelerator, torch.device(accelerator.torch_type, 0))


def seed_torch(seed: int) -> None:
    """Seed torch's generator on the CPU, and those of the accelerator when this process has one.

    As torch.manual_seed, which asks every kind of device at each call and costs up to a millisecond on full cores.
    """
    torch.default_generator.manual_seed(seed)
    if torch.accelerator.is_available():
        torch.get_device_module().manual_seed_all(seed)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held: on its accelerator by torch, else resident."""
    if torch.accelerator.is_available():
        module = torch.get_device_module()
        if hasattr(module, "max_memory_allocated"):
            return int(module.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
