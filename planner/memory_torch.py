"""What a training step really allocates, tensor by tensor, measured while it runs. The only file of memory with torch.

Counted is every storage that an operation of torch returns, from when it first appears until nothing holds it: weights,
gradients, what autograd keeps, and temporaries between operations. What a kernel allocates and frees within itself, the
allocator's rounding and the libraries' own buffers are not seen.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class PeakTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has not annotated it
    """Counts the bytes of living tensors of this thread; on CPU autograd runs in the same thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living_bytes = 0
        self.peak_bytes = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def adopt(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count tensors that were made before: weights, a batch."""
        for tensor in tensors:
            self._see(tensor)

    def reset_peak(self) -> None:
        """Begin a new peak at what lives now."""
        self.peak_bytes = self.living_bytes

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count what it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf)
        return result

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # the storage itself; Python's wrappers of it come and go
        if key in self._known or tensor.device.type == "meta":
            return
        size_bytes = storage.nbytes()

        def forget(_: Any) -> None:
            if self._known.pop(key, None) is not None:
                self.living_bytes -= size_bytes

        self._known[key] = weakref.ref(storage, forget)
        self.living_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.living_bytes)


def peak_step_bytes(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Callable[[], None],
    *,
    batch: Iterable[torch.Tensor] = (),
    steps: int = 2,
) -> int:
    """Return the peak of living bytes over the last of `steps` steps; the first ones make the optimizer's state."""
    tracker = PeakTracker()
    state = (value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, torch.Tensor))
    with tracker:
        tracker.adopt([*model.parameters(), *model.buffers(), *state, *batch])
        for number in range(steps):
            if number == steps - 1:
                tracker.reset_peak()
            step()
    return tracker.peak_bytes
