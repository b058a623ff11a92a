"""The states of a run and the legal moves between them. Pure."""

from enum import Enum

from trainer.errors import IllegalMoveError


class RunState(Enum):
    """Where a run stands. The value is (text, terminal for this attempt)."""

    CREATED = ("created", False)
    STARTING = ("starting", False)
    RUNNING = ("running", False)
    RECOVERING = ("recovering", False)
    STOPPING = ("stopping", False)
    INTERRUPTED = ("interrupted", True)
    FAILED = ("failed", True)
    FINISHED = ("finished", True)

    def __init__(self, text: str, is_terminal: bool) -> None:
        self.text = text
        self.is_terminal = is_terminal

    @classmethod
    def of(cls, text: str) -> "RunState":
        """Return the state named `text`. Raises ValueError."""
        for state in cls:
            if state.text == text:
                return state
        raise ValueError(f"no run state {text!r}: known are {[state.text for state in cls]}")


_S = RunState
MOVES: dict[RunState, frozenset[RunState]] = {
    _S.CREATED: frozenset({_S.STARTING, _S.FAILED}),
    # A killed supervisor leaves any living state behind; the next one, or the next attempt, starts from there.
    _S.STARTING: frozenset({_S.STARTING, _S.RUNNING, _S.RECOVERING, _S.STOPPING, _S.INTERRUPTED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.STARTING, _S.RECOVERING, _S.STOPPING, _S.INTERRUPTED, _S.FAILED, _S.FINISHED}),
    _S.RECOVERING: frozenset({_S.STARTING, _S.RUNNING, _S.RECOVERING, _S.STOPPING, _S.INTERRUPTED, _S.FAILED}),
    _S.STOPPING: frozenset({_S.STARTING, _S.RECOVERING, _S.INTERRUPTED, _S.FAILED, _S.FINISHED}),
    _S.INTERRUPTED: frozenset({_S.STARTING}),
    _S.FAILED: frozenset({_S.STARTING}),
    _S.FINISHED: frozenset({_S.STARTING}),  # continued with more steps
}


def move(current: RunState, new: RunState) -> RunState:
    """Return `new` if the move is legal. Raises IllegalMoveError naming both states and what would be allowed."""
    if new not in MOVES[current]:
        allowed = ", ".join(sorted(state.text for state in MOVES[current]))
        raise IllegalMoveError(f"run state {current.text} -> {new.text}: allowed are {allowed}")
    return new
