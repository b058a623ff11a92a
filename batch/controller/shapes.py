"""Whether any node of any pool could ever hold a shape. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from batch.errors import ImpossibleShapeError
from batch.model import Node, Pool, Shape


def check_possible(shape: Shape, pools: Mapping[str, Pool], pool: str | None = None) -> None:
    """Raise ImpossibleShapeError when no pool could hold `shape` with everything else gone.

    As long as no pool has shown its nodes nothing is impossible: the agent may be about to start.
    """
    known = [each for each in pools.values() if each.nodes and pool in {None, each.name}]
    if not known or any(_holds(each, shape) for each in known):
        return
    where = f"pool {pool!r} has" if pool else "the pools have"
    largest = "; ".join(sorted({_words(each) for each in known}))
    raise ImpossibleShapeError(
        f"shape {shape.nodes} x ({shape.gpus} GPUs, {shape.cpus} CPUs{_kind(shape)}) fits nowhere: {where} {largest}. "
        "Ask for less in each node, for fewer nodes, or for another pool"
    )


def _holds(pool: Pool, shape: Shape) -> bool:
    fitting = [node for node in pool.nodes if _fits(node, shape)]
    if shape.same is None:
        return len(fitting) >= shape.nodes
    groups = Counter(dict(node.labels).get(shape.same) for node in fitting)
    return any(count >= shape.nodes for value, count in groups.items() if value is not None)


def _fits(node: Node, shape: Shape) -> bool:
    return (
        node.gpus >= shape.gpus
        and node.cpus >= shape.cpus
        and shape.accelerator in {None, node.accelerator}
        and set(shape.labels) <= set(node.labels)
    )


def _words(pool: Pool) -> str:
    kinds = Counter((node.gpus, node.cpus, node.accelerator) for node in pool.nodes)
    return ", ".join(_node_words(count, *kind) for kind, count in _largest(kinds.items()))


def _largest(
    kinds: Iterable[tuple[tuple[int, int, str | None], int]],
) -> list[tuple[tuple[int, int, str | None], int]]:
    return sorted(kinds, key=lambda pair: (pair[0][0], pair[0][1]), reverse=True)[:3]


def _node_words(count: int, gpus: int, cpus: int, accelerator: str | None) -> str:
    return f"{count} x ({gpus} GPUs, {cpus} CPUs{f', {accelerator}' if accelerator else ''})"


def _kind(shape: Shape) -> str:
    said = [shape.accelerator] if shape.accelerator else []
    said += [f"{key}={value}" for key, value in shape.labels]
    said += [f"same {shape.same}"] if shape.same else []
    return "".join(f", {word}" for word in said)
