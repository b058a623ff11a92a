"""The kinds of accelerator and what other systems call them. Pure: the supervisor places workers without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One kind: torch's device type, torch.distributed's backend, and Ray's resource per worker."""

    kind: str
    torch_type: str
    backend: str
    ray_resource: str | None


ACCELERATORS: Mapping[str, Accelerator] = {
    "cpu": Accelerator("cpu", torch_type="cpu", backend="gloo", ray_resource=None),
    "cuda": Accelerator("cuda", torch_type="cuda", backend="nccl", ray_resource="GPU"),
    "neuron": Accelerator("neuron", torch_type="neuron", backend="neuron", ray_resource="neuron_cores"),
}


def choose_accelerator(requested: str, cluster_resources: Mapping[str, float]) -> Accelerator:
    """Return the accelerator for `requested` (`auto` takes the best that the cluster has). Raises DeviceError."""
    if requested == "auto":
        has_resource = [a for a in ACCELERATORS.values() if cluster_resources.get(a.ray_resource or "", 0)]
        return has_resource[0] if has_resource else ACCELERATORS["cpu"]
    chosen = ACCELERATORS[requested]
    if chosen.ray_resource is not None and not cluster_resources.get(chosen.ray_resource, 0):
        raise DeviceError(
            f"cluster.accelerator = {requested}: the cluster offers no {chosen.ray_resource} "
            f"(it has {', '.join(sorted(cluster_resources)) or 'nothing'}); allowed here are auto and cpu"
        )
    return chosen
