"""From what people type to a uid: an id, an abbreviation, a name, and members of sweeps by index."""

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, select

from batch import ids
from batch.errors import AmbiguousIdError, NotFoundError
from batch.queries import find_job, with_counts
from batch.rows import Row, sweep_of
from batch.states import JobState
from batch.tables import JOBS, SWEEPS

LISTED = 10
_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class _Match:
    uid: int
    name: str
    is_over: bool


def resolve(connection: Connection, text: str) -> int:
    """Return the uid that `text` stands for. Raises NotFoundError, AmbiguousIdError, which lists what fits."""
    text = text.strip().encode(errors="replace").decode()  # JSON may escape what the database cannot look for
    base, _, index = text.rpartition(".")
    is_index = index.isdecimal()
    sweep = _sweep(connection, _of_id(connection, base)) if is_index else None  # ids come before names
    if sweep is None:
        found = _resolve_whole(connection, text)
        if found is not None:
            return found
        if not base or not is_index:
            raise NotFoundError(f"{text!r}: no job or sweep has such an id or name: see `ostinato ls`")
        sweep = _sweep(connection, _resolve_whole(connection, base))
    if sweep is None:
        raise NotFoundError(f"{base!r}: no sweep has such an id or name: see `ostinato ls`")
    if int(index) >= sweep["count"]:
        raise NotFoundError(f"{text!r}: the sweep has the members 0 to {sweep['count'] - 1}")
    return int(sweep["first_uid"]) + int(index)


def _sweep(connection: Connection, uid: int | None) -> Row | None:
    return connection.execute(select(SWEEPS).where(SWEEPS.c.uid == uid)).mappings().one_or_none()


def _resolve_whole(connection: Connection, text: str) -> int | None:
    uid = _of_id(connection, text)
    if uid is not None:
        return uid
    codes = ids.interval(text)
    named = _one(_named(connection, text), text)
    if named is not None or codes is None:
        return named
    return _one(_abbreviated(connection, *codes), text)


def _of_id(connection: Connection, text: str) -> int | None:
    """Return the uid that has `text` as its whole id; None when none has."""
    codes = ids.interval(text)
    if codes is None or codes[0] != codes[1]:
        return None
    uid = ids.uid_of(codes[0])
    return uid if _exists(connection, uid) else None


def _exists(connection: Connection, uid: int) -> bool:
    if connection.execute(select(SWEEPS.c.uid).where(SWEEPS.c.uid == uid)).scalar() is not None:
        return True
    try:
        find_job(connection, uid)
    except NotFoundError:
        return False
    return True


def _one(matches: list[_Match], text: str) -> int | None:
    """Return the only match, or else the only one that is not over; None without any."""
    if not matches:
        return None
    rest = matches if len(matches) == 1 else [match for match in matches if not match.is_over]
    if len(rest) == 1:
        return rest[0].uid
    several = matches[:LISTED]
    listed = ", ".join(f"{ids.id_of(match.uid)}{f' ({match.name})' if match.name else ''}" for match in several)
    more = ", and more" if len(matches) > LISTED else ""
    raise AmbiguousIdError(f"{text!r} fits several: {listed}{more}: give more of the id")


def _named(connection: Connection, name: str) -> list[_Match]:
    if not name:
        return []
    return _matches(connection, (JOBS.c.name == name) & JOBS.c.sweep.is_(None), SWEEPS.c.name == name)


def _abbreviated(connection: Connection, first: int, last: int) -> list[_Match]:
    found = _matches(connection, JOBS.c.code.between(first, last), SWEEPS.c.code.between(first, last))
    return [replace(match, is_over=False) for match in found]  # of ids that begin alike, neither is meant more


def _matches(connection: Connection, is_job: ColumnElement[bool], is_sweep: ColumnElement[bool]) -> list[_Match]:
    """Return the newest jobs and sweeps that fit."""
    jobs = select(JOBS.c.uid, JOBS.c.name, JOBS.c.state).where(is_job).order_by(JOBS.c.uid.desc()).limit(_LOOKED_AT)
    sweeps = select(SWEEPS).where(is_sweep).order_by(SWEEPS.c.uid.desc()).limit(_LOOKED_AT)
    found = [_Match(uid, name, JobState.of(state).is_terminal) for uid, name, state in connection.execute(jobs)]
    for row in connection.execute(sweeps).mappings().all():
        counts = with_counts(connection, sweep_of(row)).counts
        found.append(_Match(row["uid"], row["name"], all(state.is_terminal for state in counts)))
    return sorted(found, key=lambda match: -match.uid)
