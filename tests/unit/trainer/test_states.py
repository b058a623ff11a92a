import itertools

import pytest

from trainer.errors import IllegalMoveError
from trainer.states import MOVES, RunState, move


@pytest.mark.parametrize(("current", "new"), list(itertools.product(RunState, RunState)))
def test_every_pair_is_either_in_the_table_or_refused(current: RunState, new: RunState) -> None:
    if new in MOVES[current]:
        assert move(current, new) is new
    else:
        with pytest.raises(IllegalMoveError, match=f"{current.text} -> {new.text}"):
            move(current, new)


def test_every_state_is_reached_and_named_back() -> None:
    reached = set().union(*MOVES.values()) | {RunState.CREATED}
    assert reached == set(RunState)
    assert [RunState.of(state.text) for state in RunState] == list(RunState)


def test_a_terminal_state_is_left_only_by_a_new_attempt() -> None:
    for state in RunState:
        if state.is_terminal:
            assert MOVES[state] == {RunState.STARTING}
