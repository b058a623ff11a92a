"""What the writer keeps in memory between commits; all of it is in the database too, and is read when it is opened."""

import bisect
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, insert, select, update

from batch.model import Team
from batch.rows import from_document
from batch.tables import DEPENDENCIES, EVENTS, META, SWEEPS, TEAMS


@dataclass(slots=True)
class SweepRanges:
    """Which uids are those of sweeps, and which of their members."""

    _firsts: list[int] = field(default_factory=list)
    _ranges: list[tuple[int, int, int]] = field(default_factory=list)
    _by_uid: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, uid: int, first_uid: int, count: int) -> None:
        """Add a sweep whose uids are above those of all others."""
        self._firsts.append(first_uid)
        self._ranges.append((first_uid, count, uid))
        self._by_uid[uid] = (first_uid, count)

    def members_of(self, uid: int) -> tuple[int, int] | None:
        """Return the first uid and the number of members of sweep `uid`; None when it is no sweep's."""
        return self._by_uid.get(uid)

    def sweep_of(self, uid: int) -> int | None:
        """Return the sweep of which `uid` is a member."""
        place = bisect.bisect_right(self._firsts, uid) - 1
        if place < 0:
            return None
        first, count, sweep = self._ranges[place]
        return sweep if uid < first + count else None


@dataclass(slots=True)
class Memory:
    """`awaited` are the uids for which some job waits, or once did. `last_seq` and `last_time_s` are of the journal."""

    epoch: int
    holder: str
    next_uid: int
    last_seq: int
    last_time_s: float
    teams: dict[str, Team]
    sweeps: SweepRanges
    awaited: set[int]


def begin_epoch(connection: Connection, holder: str) -> Memory:
    """Write that `holder` has the database now, and return what is in it."""
    if connection.execute(select(META.c.id)).scalar() is None:
        connection.execute(insert(META).values(id=1, epoch=0, holder=holder, next_uid=1, last_time_s=0.0))
    row = connection.execute(select(META)).mappings().one()
    epoch = row["epoch"] + 1
    connection.execute(update(META).values(epoch=epoch, holder=holder))
    ranges = SweepRanges()
    for found in connection.execute(select(SWEEPS.c.uid, SWEEPS.c.first_uid, SWEEPS.c.count).order_by(SWEEPS.c.uid)):
        ranges.add(*found)
    teams = connection.execute(select(TEAMS))
    return Memory(
        epoch=epoch,
        holder=holder,
        next_uid=row["next_uid"],
        last_seq=connection.execute(select(func.max(EVENTS.c.seq))).scalar() or 0,
        last_time_s=row["last_time_s"],
        teams={name: from_document(Team, document) for name, document in teams},
        sweeps=ranges,
        awaited=set(connection.execute(select(DEPENDENCIES.c.on_uid).distinct()).scalars()),
    )
