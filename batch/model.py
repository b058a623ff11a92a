"""What is in the queue, as values. Pure; the standard library only.

A job's identity is its `uid`: an integer that the store draws and never draws again. A sweep draws a contiguous range,
one uid for each member, so that a member needs no record of its own before something happens to it. People see ids
(ids.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Tier(Enum):
    """How urgent: interactive never waits for batch; flex takes what is left and may always be preempted.

    `rank` is 0 for the most urgent.
    """

    rank: int

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    FLEX = "flex"

    def __new__(cls, value: str) -> "Tier":
        """Make a member; they are made in their order."""
        member = object.__new__(cls)
        member._value_ = value
        member.rank = len(cls.__members__)
        return member


class Cause(Enum):
    """Why an attempt ended other than well. Each has a budget of retries of its own."""

    PREEMPTION = "preemption"
    INFRASTRUCTURE = "infrastructure"
    USER_CODE = "user_code"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    LAUNCH = "launch"
    NO_PROGRESS = "no_progress"
    """It left with 75, to go on later, although it had not saved anything."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a job occupies: `nodes` equal bundles on different nodes, all of them or none.

    `gpus` (accelerators of any vendor) and `cpus` are counted per node. `accelerator` names a kind (None: any).
    `labels` must be on every node; `same` names a topology label (zone, rack, efa) that all nodes must share.
    """

    nodes: int = 1
    gpus: int = 0
    cpus: int = 1
    accelerator: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    same: str | None = None

    @property
    def chips(self) -> int:
        """Return what fairness and preemption count: accelerators, or CPUs of a job that wants none."""
        return self.nodes * (self.gpus or self.cpus)


@dataclass(frozen=True, slots=True)
class Dependency:
    """Wait until job or sweep `uid` has ended; with `ok`, until it has succeeded.

    Among jobs submitted in one call, -1 is the first of them, -2 the second, and so on; the store puts the uids there.
    """

    uid: int
    ok: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Everything a person says about a job; immutable. For members of a sweep, what all of them share.

    `kind` is `train` or `command`, and `payload` what that kind needs (launcher.py). `recipe` groups jobs whose
    durations resemble one another. Times are epoch seconds, durations seconds. `retries` overrides the policy's budget
    by cause. `code` is the content address of the working folder. Where a run got to is never in here.
    """

    kind: str
    payload: Mapping[str, Any]
    shape: Shape = Shape()
    team: str = "default"
    user: str = ""
    tier: Tier = Tier.STANDARD
    name: str = ""
    recipe: str = ""
    time_limit_s: float | None = None
    not_before_s: float | None = None
    deadline_s: float | None = None
    after: tuple[Dependency, ...] = ()
    retries: Mapping[Cause, int] = field(default_factory=dict)
    preemptible: bool = True
    grace_s: float = 30.0
    pool: str | None = None
    code: str | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """Many jobs that differ by overrides: the product of `axes`, each a key and its values, the last axis fastest.

    `max_running` bounds members placed at once. `stop_if_failed` is the breaker: the fraction of ended members (of at
    least `stop_after`) beyond which no further member starts. `key` is the content hash that makes submitting again
    a no-op.
    """

    template: JobSpec
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    max_running: int | None = None
    stop_if_failed: float | None = None
    stop_after: int = 5
    key: str = ""

    def __len__(self) -> int:
        """Return the number of members."""
        count = 1
        for _, values in self.axes:
            count *= len(values)
        return count

    def overrides(self, index: int) -> tuple[str, ...]:
        """Return the overrides of member `index`. Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(f"member {index} of a sweep of {len(self)}")
        words = []
        for key, values in reversed(self.axes):
            index, choice = divmod(index, len(values))
            words.append(f"{key}={values[choice]}")
        return tuple(reversed(words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Who shares with whom. More `weight` is more; `quota` caps chips in use (0: none may start), None is no cap."""

    name: str
    weight: float = 1.0
    quota: int | None = None
    max_queued: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a pool."""

    name: str
    gpus: int
    cpus: int
    accelerator: str | None = None
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One Ray cluster, region and kind of accelerator. `drained`: nothing new starts there.

    `agent` is the one that has its leases (the id that lies in its folder); empty before any has spoken.
    """

    name: str
    nodes: tuple[Node, ...] = ()
    drained: bool = False
    agent: str = ""
