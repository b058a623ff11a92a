"""What agents and people say of a pool, as events. Called within the writer's transaction.

Each changes what is its own and leaves the rest as it finds it: a drain is not lost when nodes come at that moment.
"""

from dataclasses import replace

from sqlalchemy import select

from batch import rows
from batch.errors import NotFoundError
from batch.events import PoolSet
from batch.ledger import Ledger
from batch.model import Node, Pool
from batch.recording import record
from batch.tables import POOLS


def set_nodes(ledger: Ledger, name: str, nodes: tuple[Node, ...], agent: str) -> None:
    """Note which nodes a pool has, and which agent."""
    known = _pools(ledger).get(name, Pool(name=name))
    _set(ledger, replace(known, nodes=nodes, agent=agent))


def drain(ledger: Ledger, name: str, drained: bool) -> Pool:
    """Note whether anything new may start in a pool. Raises NotFoundError."""
    known = _pools(ledger)
    if name not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise NotFoundError(f"there is no pool {name!r}; there are: {names}")
    return _set(ledger, replace(known[name], drained=drained))


def _pools(ledger: Ledger) -> dict[str, Pool]:
    ledger.flush()
    found = ledger.connection.execute(select(POOLS.c.name, POOLS.c.document))
    return {name: rows.from_document(Pool, document) for name, document in found}


def _set(ledger: Ledger, pool: Pool) -> Pool:
    record(ledger, [PoolSet(time_s=ledger.now_s, pool=pool)])
    return pool
