"""The states of a job and the legal moves between them. Pure."""

from enum import Enum

from batch.errors import IllegalMoveError


class JobState(Enum):
    """Where a job stands. The value is (text, terminal, holds a placement)."""

    HELD = ("held", False, False)
    BLOCKED = ("blocked", False, False)
    QUEUED = ("queued", False, False)
    LAUNCHING = ("launching", False, True)
    RUNNING = ("running", False, True)
    STOPPING = ("stopping", False, True)
    UNKNOWN = ("unknown", False, True)
    SUCCEEDED = ("succeeded", True, False)
    FAILED = ("failed", True, False)
    CANCELLED = ("cancelled", True, False)

    def __init__(self, text: str, is_terminal: bool, is_placed: bool) -> None:
        self.text = text
        self.is_terminal = is_terminal
        self.is_placed = is_placed

    @classmethod
    def of(cls, text: str) -> "JobState":
        """Return the state named `text`. Raises ValueError."""
        return _BY_TEXT[text]


_S = JobState
_BY_TEXT = {state.text: state for state in JobState}
_ENDED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED})

MOVES: dict[JobState, frozenset[JobState]] = {
    _S.HELD: frozenset({_S.QUEUED, _S.BLOCKED, _S.CANCELLED}),
    _S.BLOCKED: frozenset({_S.QUEUED, _S.HELD, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.LAUNCHING, _S.HELD, _S.BLOCKED, _S.CANCELLED}),
    # Back to QUEUED: the launch failed, or the agent never took the lease.
    _S.LAUNCHING: frozenset({_S.RUNNING, _S.STOPPING, _S.UNKNOWN, _S.QUEUED} | _ENDED),
    _S.RUNNING: frozenset({_S.STOPPING, _S.UNKNOWN, _S.QUEUED} | _ENDED),
    # Asked to save and stop; where it goes then (queue, hold, end) is kept with the request.
    _S.STOPPING: frozenset({_S.UNKNOWN, _S.QUEUED, _S.HELD} | _ENDED),
    # The agent is silent. Never an outcome: it is adopted when the agent comes back, or fenced out and queued again.
    _S.UNKNOWN: frozenset({_S.RUNNING, _S.STOPPING, _S.QUEUED, _S.HELD} | _ENDED),
    # Only by a person's `requeue`. Blocked again: what it waits for had not ended when it was cancelled.
    _S.SUCCEEDED: frozenset({_S.QUEUED, _S.BLOCKED}),
    _S.FAILED: frozenset({_S.QUEUED, _S.BLOCKED}),
    _S.CANCELLED: frozenset({_S.QUEUED, _S.BLOCKED}),
}


def move(current: JobState, new: JobState) -> JobState:
    """Return `new` if the move is legal. Raises IllegalMoveError naming both states and what would be allowed."""
    if new not in MOVES[current]:
        allowed = ", ".join(sorted(state.text for state in MOVES[current]))
        raise IllegalMoveError(f"job state {current.text} -> {new.text}: allowed are {allowed}")
    return new
