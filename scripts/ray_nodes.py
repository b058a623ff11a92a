"""The nodes of a Ray cluster as the agent sees them: runners are started by a warm actor on each."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from batch.agent.node_processes import start_runner
from batch.agent.process_identity import ProcessIdentity
from batch.errors import LaunchError
from batch.model import Node
from trainer.errors import ClusterError
from trainer.nodes_ray import RayNodes, joined

_START_TIMEOUT_S = 30.0
"""The first call waits for the actor, and for the code to arrive on its node."""
_LOOK_TIMEOUT_S = 2.0


class RayProcesses:
    """Satisfies batch.agent.node_processes.NodeProcesses."""

    def __init__(self, nodes: RayNodes) -> None:
        self._nodes = nodes

    def nodes(self) -> tuple[Node, ...]:
        """See NodeProcesses."""
        found = self._nodes.nodes().values()
        return tuple(Node(each.name, each.gpus, each.cpus, each.accelerator, each.labels) for each in found)

    def address(self, node: str) -> str:
        """See NodeProcesses."""
        known = self._nodes.nodes()
        if node not in known:
            raise LaunchError(f"node {node} is not in the cluster (any more)")
        return known[node].address

    def start(self, node: str, folder: str, environment: Mapping[str, str]) -> None:
        """See NodeProcesses."""
        try:
            self._nodes.call(node, _START_TIMEOUT_S, start_runner, folder, dict(environment))
        except ClusterError as error:
            raise LaunchError(str(error)) from error

    def living(self, processes: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """See NodeProcesses."""
        found: set[str] = set()
        for node, texts in processes.items():
            if node not in self._nodes.nodes():
                continue
            try:
                found.update(self._nodes.call(node, _LOOK_TIMEOUT_S, living_of, list(texts)))
            except ClusterError:
                found.update(texts)  # whoever does not answer is not known to be dead
        return frozenset(found)

    def kill_session(self, node: str, process: str, mark: str) -> None:
        """See NodeProcesses."""
        with contextlib.suppress(ClusterError):  # with the node its processes are gone
            self._nodes.call(node, _LOOK_TIMEOUT_S, killed_session_of, process, mark)


def living_of(texts: Sequence[str]) -> list[str]:
    """Return which of these processes live on this machine."""
    return [text for text in texts if ProcessIdentity.parse(text).is_alive()]


def killed_session_of(text: str, mark: str) -> int:
    """Kill what is left of the session of process `text` on this machine; return how many that were."""
    return ProcessIdentity.parse(text).kill_session(mark)


@contextlib.contextmanager
def ray_processes(address: str) -> Iterator[RayProcesses]:
    """Join the Ray cluster at `address`, for as long as the context. Raises ClusterUnreachable."""
    with joined(address) as nodes:
        yield RayProcesses(nodes)
