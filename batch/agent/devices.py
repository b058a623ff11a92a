"""Which accelerators of a node an attempt gets. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from batch.model import Node

Devices = tuple[tuple[int, ...], ...]
"""For each bundle, the indices of its accelerators on its node."""


def assign(
    bundles: Sequence[str], gpus: int, nodes: Mapping[str, Node], taken: Iterable[tuple[Sequence[str], Devices]]
) -> Devices | None:
    """Return `gpus` free accelerators on each of the nodes `bundles`; None when they are not free (yet).

    `taken` has the nodes and devices of the attempts that live.
    """
    if gpus == 0:
        return tuple(() for _ in bundles)
    busy: dict[str, set[int]] = {}
    for others, devices in taken:
        for node, indices in zip(others, devices, strict=False):
            busy.setdefault(node, set()).update(indices)
    chosen: list[tuple[int, ...]] = []
    for name in bundles:
        total = nodes[name].gpus if name in nodes else 0
        used = busy.setdefault(name, set())
        free = [index for index in range(total) if index not in used][:gpus]
        if len(free) < gpus:
            return None
        used.update(free)
        chosen.append(tuple(free))
    return tuple(chosen)
