"""The queue's time when the machine's clock is set back: it never goes back, never stands still, and catches up."""

import logging
from pathlib import Path

import pytest

from batch.forward_clock import ForwardClock
from batch.job_queue import Queue
from batch.model import Team

YEAR_S = 365 * 86_400.0


class Hands:
    """A clock that can be set, and the time since the start, which cannot."""

    def __init__(self) -> None:
        self.steady_s = 5.0
        self.ahead_s = 1000.0

    def steady(self) -> float:
        return self.steady_s

    def clock(self) -> float:
        return self.steady_s + self.ahead_s


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_it_is_the_clock_as_long_as_that_goes_forward(hands: Hands) -> None:
    clock = ForwardClock(hands.clock, 0.0, hands.steady)
    for seconds, jump in ((1.0, 0.0), (0.0, 0.0), (3.0, YEAR_S)):
        hands.steady_s += seconds
        hands.ahead_s += jump
        assert clock() == hands.clock()


def test_set_back_it_goes_on_at_half_speed_until_the_clock_has_caught_up(
    hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ForwardClock(hands.clock, 0.0, hands.steady)
    before_s = clock()
    hands.ahead_s -= 100.0
    with caplog.at_level(logging.WARNING):
        assert clock() == before_s
        hands.steady_s += 60.0
        assert clock() == before_s + 30.0
        hands.steady_s += 100.0
        assert clock() == before_s + 80.0
    assert len(caplog.records) == 1
    assert "100 s behind" in caplog.text
    hands.steady_s += 100.0
    assert clock() == hands.clock()


def test_opened_behind_the_journal_it_goes_on_from_there(hands: Hands) -> None:
    clock = ForwardClock(hands.clock, hands.clock() + YEAR_S, hands.steady)
    first_s = clock()
    assert first_s == hands.clock() + YEAR_S
    hands.steady_s += 10.0
    assert clock() == first_s + 5.0


def test_the_queue_lives_by_it_and_keeps_it_over_a_restart(tmp_path: Path, hands: Hands) -> None:
    def open_queue() -> Queue:
        return Queue.open(str(tmp_path / "queue.db"), clock=hands.clock)

    hands.ahead_s += YEAR_S
    with open_queue() as queue:
        queue.set_team(Team(name="a"))
    hands.ahead_s -= YEAR_S
    with open_queue() as queue:
        first_s = queue.clock()
        assert first_s >= hands.clock() + YEAR_S
        queue.set_team(Team(name="b"))
        [*_, (_, last)] = queue.events()
        assert first_s <= last.time_s < first_s + 60.0
