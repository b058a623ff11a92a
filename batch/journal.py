"""Events as rows of the journal, and back. Pure.

What a submission says is immutable and lies in the row of its job or sweep. The journal does not repeat it: its row for
a submission has only the uid, and whoever reads the journal joins the two.
"""

import dataclasses
import json
from typing import Any, NamedTuple

from batch import events
from batch.errors import BatchQueueError, StoreError
from batch.events import Event, JobSubmitted, SweepSubmitted
from batch.json_values import from_json, to_json

KINDS: dict[str, type[Event]] = {
    name: cls
    for name, cls in vars(events).items()
    if isinstance(cls, type) and issubclass(cls, Event) and name not in {"Event", "JobEvent"}
}
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_IN_COLUMNS = frozenset({"time_s", "uid"})


class JournalRow(NamedTuple):
    """A row of the journal: `uid` is None for teams and pools, `payload` is JSON, "" when there is nothing to say."""

    seq: int
    time_s: float
    kind: str
    uid: int | None
    payload: str


def to_row(seq: int, event: Event) -> JournalRow:
    """Return the journal's row for `event`."""
    if isinstance(event, JobSubmitted):
        payload = {}
    elif isinstance(event, SweepSubmitted):
        payload = {"first_uid": event.first_uid}
    else:
        payload = {name: value for name, value in to_json(event).items() if name not in _IN_COLUMNS}
    return JournalRow(seq, event.time_s, type(event).__name__, getattr(event, "uid", None), dumps(payload))


def from_row(row: JournalRow, spec: Any = None) -> Event:
    """Return the event of a row; of a submission, with `spec`. Raises StoreError when it cannot be read."""
    if row.kind == "JobSubmitted" and row.uid is not None and not row.payload:  # nearly all rows of a long queue
        return JobSubmitted(time_s=row.time_s, uid=row.uid, spec=spec)
    where = f"event {row.seq}"
    cls = KINDS.get(row.kind)
    if cls is None:
        raise StoreError(f"{where}: kind {row.kind!r} is not known to this version: update the controller")
    try:
        document = json.loads(row.payload) if row.payload else {}
        if row.uid is not None:
            document["uid"] = row.uid
        document["time_s"] = row.time_s
        if cls is JobSubmitted or cls is SweepSubmitted:
            return cls(**document, spec=spec)
        return from_json(cls, document, where)
    except (ValueError, TypeError, AttributeError, BatchQueueError) as error:
        raise StoreError(f"{where}: the journal is damaged ({error}): restore the database from a copy") from error


def dumps(document: Any) -> str:
    """Return compact JSON; "" for what is empty. A loss that is no number is written as Python's json reads it."""
    return _COMPACT.encode(document) if document else ""


def at(event: Event, time_s: float) -> Event:
    """Return `event` as of `time_s`."""
    return event if event.time_s == time_s else dataclasses.replace(event, time_s=time_s)
