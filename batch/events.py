"""What can happen, as values: the rows of the journal, the only way in which any state of the queue changes.

The store writes each in the transaction that changes the rows it is about; the scheduler, the simulator and whoever
follows the journal read them in order. Every event has `time_s`, the controller's clock in epoch seconds, which never
goes back within a journal.
"""

from dataclasses import dataclass, field

from batch.model import Cause, JobSpec, Pool, SweepSpec, Team, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the scheduler decided on: all events up to `seq`, at `time_s` (epoch seconds)."""

    seq: int
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSet(Event):
    """A team was made or changed."""

    team: Team


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSet(Event):
    """A pool was made, changed, drained, or its nodes came and went. Placements on lost nodes are told apart, after."""

    pool: Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(Event):
    """A job exists: held, blocked by a dependency, or queued."""

    uid: int
    spec: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSubmitted(Event):
    """A sweep exists: its members have the uids first_uid .. first_uid + len(spec) - 1, its own is `uid`."""

    uid: int
    first_uid: int
    spec: SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent(Event):
    """Base of what happens to one job, or to each waiting member of a sweep when `uid` is the sweep's."""

    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHeld(JobEvent):
    """Does not start until it is released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReleased(JobEvent):
    """A hold is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanged(JobEvent):
    """What may be set later; None leaves it as it was."""

    tier: Tier | None = None
    time_limit_s: float | None = None
    deadline_s: float | None = None
    max_running: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlaced(JobEvent):
    """The scheduler gave it a place: attempt `attempt` (from 1), with `fence`, on `nodes` of `pool`, one per bundle."""

    attempt: int
    fence: int
    pool: str
    nodes: tuple[str, ...]
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(JobEvent):
    """The agent says that the attempt runs."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCheckpointed(JobEvent):
    """The attempt reported a durable checkpoint, made at `saved_s`."""

    attempt: int
    saved_s: float
    step: int | None = None


PACKING = "packing"
"""How the reason of a stop begins that only moves a job to other nodes, to make those whole on which it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopping(JobEvent):
    """The attempt is asked to save and stop; `now`: to stop without saving.

    `then`: queued, held or cancelled; `beneficiary`: for whom. May be said again of a job that stops already, when it
    shall go elsewhere or stop faster; only what is to be cancelled stays so.
    """

    attempt: int
    then: str
    reason: str
    beneficiary: int | None = None
    now: bool = False
    basis: Basis | None = None

    @property
    def moves(self) -> bool:
        """Say whether there is room elsewhere, at which the job is to go on."""
        return self.beneficiary is not None and self.reason.startswith(PACKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnknown(JobEvent):
    """The agent of a placed job is silent."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAdopted(JobEvent):
    """The agent is back and the attempt still runs."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStopped(JobEvent):
    """An attempt is over and the job is not: it is queued or held again, and may start from `eligible_s` on."""

    attempt: int
    cause: Cause
    then: str
    eligible_s: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(JobEvent):
    """The job is over: succeeded, failed or cancelled. `attempt` is 0 when it never had a place."""

    state: str
    attempt: int = 0
    exit_code: int | None = None
    cause: Cause | None = None
    message: str = ""
    metrics: tuple[tuple[str, float], ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequeued(JobEvent):
    """A person wants a job that is over to run again."""
