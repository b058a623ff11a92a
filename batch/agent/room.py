"""What an agent knows of the places where it starts attempts. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from batch.agent.messages import Grant
from batch.model import Node

_FEWEST_STARTS = 2


@dataclass(slots=True)
class Room:
    """What one look knows of the places to start at; kept up while it starts attempts."""

    nodes: Mapping[str, Node]
    starting: Counter[str]
    """How many attempts are starting on each node."""
    jobs: set[int]
    """Jobs of which an attempt lives."""

    def holds(self, grant: Grant) -> bool:
        """Return whether it may start: not beside another attempt of its job, nor too many at once on a node."""
        if grant.uid in self.jobs:
            return False
        # More processes that import their libraries at once only make one another slow, and time out.
        here = [self.nodes[name] for name in grant.nodes if name in self.nodes]
        return all(self.starting[node.name] < max(_FEWEST_STARTS, node.cpus // 2) for node in here)
