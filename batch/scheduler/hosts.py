"""Where jobs of a profile may be: worked out once for each profile, until a pool or its nodes change."""

import numpy as np

from batch.scheduler.arrays import Bools
from batch.scheduler.nodes import PoolNodes
from batch.scheduler.profiles import Profile
from batch.scheduler.shares import NUM_KINDS


class Hosts:
    """What is known of the lists `pools` and `profiles`, which only grow. `forget` whenever a pool changed."""

    def __init__(self, pools: list[PoolNodes], profiles: list[Profile]) -> None:
        self._pools = pools
        self._profiles = profiles
        self.forget()

    def forget(self) -> None:
        """Work everything out anew when it is asked for: a pool came, or its nodes are not what they were."""
        self._table: Bools = np.zeros((0, len(self._pools)), dtype=np.bool_)
        self._places: Bools = np.zeros((0, 0), dtype=np.bool_)
        self._pools_of: dict[int, list[int]] = {}
        self._nodes_of: dict[int, Bools] = {}

    @property
    def table(self) -> Bools:
        """Say which pools take new jobs of a profile and could hold one if they were empty: [profiles, pools]."""
        known = self._table
        if len(known) < len(self._profiles):
            more = [[_could_host(pool, profile) for pool in self._pools] for profile in self._profiles[len(known) :]]
            self._table = np.concatenate([known, np.array(more, dtype=np.bool_).reshape(len(more), len(self._pools))])
        return self._table

    def pools(self, profile: int) -> list[int]:
        """Return the numbers of the pools that `table` names for a profile."""
        pools = self._pools_of.get(profile)
        if pools is None:
            pools = self._pools_of[profile] = self.table[profile].nonzero()[0].tolist()
        return pools

    def nodes(self, profile: int) -> Bools:
        """Say which nodes of these pools have what a profile wants; the nodes of all pools, pool by pool."""
        nodes = self._nodes_of.get(profile)
        if nodes is None:
            shape, hosts = self._profiles[profile].shape, self.table[profile].tolist()
            parts = [pool.admits(shape) & is_host for pool, is_host in zip(self._pools, hosts, strict=True)]
            nodes = self._nodes_of[profile] = np.concatenate(parts)
        return nodes

    @property
    def places(self) -> Bools:
        """Say what may be in each domain, which is pool * kinds + kind: [domains, columns].

        The columns are the domains, for what runs there, then the profiles, for what waits.
        """
        num, hosts = len(self._pools) * NUM_KINDS, self.table.T
        if self._places.shape != (num, num + hosts.shape[1]):
            kinds = np.array([profile.kind for profile in self._profiles], dtype=np.int64)
            stacked = np.stack([hosts & (kinds == kind) for kind in range(NUM_KINDS)], axis=1)
            of_profiles = stacked.reshape(num, hosts.shape[1])  # not -1: before the first pool nothing can be inferred
            self._places = np.concatenate([np.eye(num, dtype=np.bool_), of_profiles], axis=1)
        return self._places


def _could_host(pool: PoolNodes, profile: Profile) -> bool:
    return not pool.drained and profile.pool in (None, pool.name) and pool.could_hold(profile.shape)
