"""What the store answers, as values: jobs, sweeps, attempts and tokens as they stand."""

from dataclasses import dataclass, field

from batch import ids
from batch.model import Cause, JobSpec, SweepSpec, Tier
from batch.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands.

    `spec` is what was submitted, with what was changed since; of a member of a sweep it is the sweep's template, and
    `overrides` is what the member adds. `changed_s` is when the state last changed. `then` and `stop_now` are what a
    stop asked for: where the job goes when its attempt is over ("": nobody asked), and whether it may not save first.
    It may start from `eligible_s` on. From `pool` to `started_s` all is about the attempt `attempt`, the current or
    the last one (0: there was none). `saved_s` and `step` are the newest checkpoint of all attempts. From `ended_s` on
    it is how the job, or its last attempt, ended.
    """

    uid: int
    spec: JobSpec
    state: JobState
    submitted_s: float
    changed_s: float
    sweep: int | None = None
    index: int | None = None
    overrides: tuple[str, ...] = ()
    then: str = ""
    stop_now: bool = False
    eligible_s: float = 0.0
    attempt: int = 0
    fence: int = 0
    pool: str = ""
    nodes: tuple[str, ...] = ()
    placed_s: float | None = None
    started_s: float | None = None
    saved_s: float | None = None
    step: int | None = None
    ended_s: float | None = None
    exit_code: int | None = None
    cause: Cause | None = None
    message: str = ""
    metrics: tuple[tuple[str, float], ...] = ()

    @property
    def id(self) -> str:
        """Return what people call it by."""
        if self.sweep is None or self.index is None:
            return ids.id_of(self.uid)
        return ids.member_id(self.sweep, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep as it stands: its members have the uids first_uid .. first_uid + len(spec) - 1.

    `spec` is what was submitted, with what was changed since. `counts` has the number of members in each state that
    any member is in.
    """

    uid: int
    first_uid: int
    spec: SweepSpec
    submitted_s: float
    counts: dict[JobState, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return what people call it by."""
        return ids.id_of(self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One placement of a job. `outcome` is the state that the job had then, "" while the attempt is not over."""

    uid: int
    attempt: int
    fence: int
    pool: str
    nodes: tuple[str, ...]
    placed_s: float
    started_s: float | None = None
    saved_s: float | None = None
    step: int | None = None
    ended_s: float | None = None
    outcome: str = ""
    exit_code: int | None = None
    cause: Cause | None = None
    message: str = ""
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Who may speak: `digest` is the SHA-256 of the secret, in hexadecimal; the secret itself is nowhere."""

    digest: str
    name: str
    role: str
    team: str | None = None
    created_s: float
    expires_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs `Queue.jobs` returns: those that fit all that is given.

    Without `sweep` and `members` these are the jobs that belong to no sweep; with `sweep` the members of that one; with
    `members` both kinds. `newest` first, or oldest first. `beyond` continues a listing after the job with that uid.
    """

    states: frozenset[JobState] = frozenset()
    team: str | None = None
    user: str | None = None
    name: str | None = None
    tier: Tier | None = None
    sweep: int | None = None
    members: bool = False
    newest: bool = True
    beyond: int | None = None
    limit: int = 1000
