"""What a worker's end means, as values that cross process borders. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Whose fault the end of a worker was. Each cause that trying again may mend has a retry budget of its own."""

    INFRASTRUCTURE = "infrastructure"
    PREEMPTION = "preemption"
    OUT_OF_MEMORY = "out_of_memory"
    USER_CODE = "user_code"
    ENVIRONMENT = "environment"
    """Something outside is missing, too small or refuses: a person has to change it."""
    PERMANENT = "permanent"
    """What was asked for cannot be: configuration, data, or another owner of the run."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of one worker: rank, cause, one line of what happened, the step it was at, and its traceback.

    `fingerprint` identifies the fault: equal for the same exception raised at the same place.
    """

    rank: int
    cause: Cause
    message: str
    step: int | None = None
    traceback: str = ""
    fingerprint: str = ""


class EndKind(StrEnum):
    """How a worker's part in a generation ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    PEER_LOST = "peer_lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """What a worker returns; `failure` is set when it is the one that failed."""

    rank: int
    kind: EndKind
    step: int | None = None
    failure: Failure | None = None
    metrics: tuple[tuple[str, float], ...] = ()


_SEVERITY = (
    Cause.PERMANENT,
    Cause.ENVIRONMENT,
    Cause.PREEMPTION,
    Cause.OUT_OF_MEMORY,
    Cause.USER_CODE,
    Cause.INFRASTRUCTURE,
)


def root_cause(failures: list[Failure]) -> Failure:
    """Return the failure that explains the others when several ranks end at once.

    Ranks that lost a peer are not in the list. A preemption explains crashes around it; an exception in user code
    explains a neighbour that died of the abort.
    """
    return min(failures, key=lambda failure: (_SEVERITY.index(failure.cause), failure.rank))
