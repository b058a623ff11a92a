"""The machines of a simulation: chips that are only counted, or nodes on which gangs must find room."""

from dataclasses import dataclass
from math import ceil

from batch.errors import BadRequestError, ImpossibleShapeError
from batch.model import Node, Pool, Shape

POOL = "simulated"


@dataclass(frozen=True, slots=True)
class Cluster:
    """`num_nodes` nodes of `chips_per_node`. Counted chips are one node that holds them all."""

    num_nodes: int
    chips_per_node: int

    @classmethod
    def counted(cls, chips: int) -> "Cluster":
        """Return chips without nodes: whatever fits by number fits."""
        return cls(1, chips)

    @classmethod
    def of(cls, text: str) -> "Cluster":
        """Return the cluster that `65x8` (nodes x chips on each) names. Raises BadRequestError."""
        nodes, _, chips = text.partition("x")
        if not (nodes.isdecimal() and chips.isdecimal() and int(nodes) > 0 and int(chips) > 0):
            raise BadRequestError(f"nodes = {text!r}: must be nodes x chips on each, such as 65x8")
        return cls(int(nodes), int(chips))

    @property
    def chips(self) -> int:
        """Return how many chips there are."""
        return self.num_nodes * self.chips_per_node

    @property
    def is_counted(self) -> bool:
        """Say whether chips are only counted."""
        return self.num_nodes == 1

    def shape(self, gang: int) -> Shape:
        """Return how a gang lies: on one node if it fits, else in equal bundles on as few as possible.

        A gang that cannot be divided equally occupies the next larger one that can. Raises ImpossibleShapeError.
        """
        nodes = ceil(gang / self.chips_per_node)
        if nodes > self.num_nodes:
            raise ImpossibleShapeError(
                f"a gang of {gang} chips: must be at most {self.chips} ({self.num_nodes} x {self.chips_per_node}); "
                "simulate more chips or another window"
            )
        return Shape(nodes=nodes, gpus=ceil(gang / nodes))

    def pool(self) -> Pool:
        """Return the pool that a scheduler sees. Processors never bind."""
        nodes = (
            Node(name=f"node-{number}", gpus=self.chips_per_node, cpus=self.chips_per_node)
            for number in range(self.num_nodes)
        )
        return Pool(name=POOL, nodes=tuple(nodes))
