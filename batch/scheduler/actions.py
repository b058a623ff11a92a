"""What the scheduler decides, as values. Whoever acts on them writes the events; deciding changes nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Start job `uid` on `nodes` of `pool`, one per bundle."""

    uid: int
    pool: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preempt:
    """Ask job `uid` to save and stop, so that `beneficiary` can start. `bill_s` is what it loses, in chip-seconds."""

    uid: int
    beneficiary: int
    reason: str
    bill_s: float


@dataclass(frozen=True, slots=True)
class Reserve:
    """Keep room for gang `uid` in `pool`: it is expected to start between `start_p50_s` and `start_p90_s`."""

    uid: int
    pool: str
    start_p50_s: float
    start_p90_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Why the jobs of one bucket wait: `first_uid` is the first of `count` jobs of equal shape, team and tier."""

    first_uid: int
    count: int
    reason: "Reason"


@dataclass(frozen=True, slots=True)
class Reason:
    """The binding constraint in numbers: `code` is one of reasons.CODES, `need` and `have` are in `unit`."""

    code: str
    text: str
    need: float | None = None
    have: float | None = None
    unit: str = ""


Action = Place | Preempt | Reserve | Wait
