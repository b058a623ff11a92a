"""The nodes of a Ray cluster, as places where a function can be called: one warm actor on each.

A call to a warm actor takes some 2 ms, a Ray job more than a second. The actors hold no CPUs or accelerators, and end
with the process that made them; what they have started detached goes on.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainer.config import ClusterConfig
from trainer.connection_ray import connected
from trainer.errors import ClusterError

_T = TypeVar("_T")
_REFRESH_S = 5.0
_ACCELERATOR_PREFIX = "accelerator_type:"


@dataclass(frozen=True, slots=True)
class RayNode:
    """One living node: `name` is Ray's id of it, `address` where others reach it."""

    name: str
    address: str
    gpus: int
    cpus: int
    accelerator: str | None
    labels: tuple[tuple[str, str], ...]


class RayNodes:
    """The nodes of the cluster that this process is connected to. Used by one thread, inside `joined`."""

    def __init__(self) -> None:
        self._nodes: dict[str, RayNode] = {}
        self._read_s = 0.0
        self._actors: dict[str, Any] = {}

    def nodes(self) -> dict[str, RayNode]:
        """Return the living nodes by name, as of a few seconds ago at most."""
        if not self._nodes or time.monotonic() - self._read_s > _REFRESH_S:
            self._nodes = {node["NodeID"]: _described(node) for node in ray.nodes() if node["Alive"]}
            self._read_s = time.monotonic()
            for name in set(self._nodes) - set(self._actors):
                self._actors[name] = _actor_on(name)
            for name in set(self._actors) - set(self._nodes):
                del self._actors[name]
        return self._nodes

    def call(self, node: str, timeout_s: float, function: Callable[..., _T], *arguments: Any) -> _T:
        """Return `function(*arguments)`, called on `node`, where the function's module is importable too.

        The function must bear being called twice: when the actor dies, its successor is asked again. Raises
        ClusterError when the node is gone, does not answer in time, or the function raises.
        """
        if node not in self.nodes():
            raise ClusterError(f"node {node} is not in the cluster (any more)")
        try:
            try:
                return self._ask(node, timeout_s, function, arguments)
            except RayActorError:
                self._actors[node] = _actor_on(node)
                return self._ask(node, timeout_s, function, arguments)
        except GetTimeoutError as error:
            raise ClusterError(f"node {node} did not answer within {timeout_s:g} s") from error
        except (RayActorError, RayTaskError) as error:
            raise ClusterError(f"node {node}: {str(error).strip().splitlines()[-1]}") from error

    def _ask(self, node: str, timeout_s: float, function: Callable[..., _T], arguments: tuple[Any, ...]) -> _T:
        answer: _T = ray.get(self._actors[node].call.remote(function, arguments), timeout=timeout_s)
        return answer


@contextlib.contextmanager
def joined(address: str) -> Iterator[RayNodes]:
    """Join the cluster at `address` (auto or host:port) for as long as the context. Raises ClusterUnreachable."""
    with connected(ClusterConfig(address=address)):
        yield RayNodes()


class _Caller:
    """Calls what it is given, in a process on its node."""

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)


_CallerActor: Any = ray.remote(_Caller)


def _actor_on(node: str) -> Any:
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return _CallerActor.options(num_cpus=0, scheduling_strategy=here).remote()


def _described(node: dict[str, Any]) -> RayNode:
    resources = node["Resources"]
    kinds = [name.removeprefix(_ACCELERATOR_PREFIX) for name in resources if name.startswith(_ACCELERATOR_PREFIX)]
    return RayNode(
        name=node["NodeID"],
        address=node["NodeManagerAddress"],
        gpus=int(resources.get("GPU", resources.get("neuron_cores", 0))),
        cpus=int(resources.get("CPU", 0)),
        accelerator=kinds[0] if kinds else None,
        labels=tuple(sorted((str(key), str(value)) for key, value in node.get("Labels", {}).items())),
    )
