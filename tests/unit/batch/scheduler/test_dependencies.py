"""What waits for others agrees with the store, also when those run again, and when it is gone itself by then."""

import pytest
from fixtures_scheduler import Dependency, Fleet

from batch import events
from batch.scheduler import why


@pytest.fixture
def queue() -> Fleet:
    made = Fleet()
    made.pool(nodes=1)
    return made


def code(queue: Fleet, uid: int) -> str:
    return why(queue.state, uid, queue.now_s).reason.code


def requeue(queue: Fleet, uid: int) -> None:
    queue.apply(events.JobRequeued(time_s=queue.now_s, uid=uid))


def test_what_was_cancelled_while_it_waited_keeps_no_other_waiting(queue: Fleet) -> None:
    first = queue.submit()
    after = [queue.submit(after=(Dependency(first),)) for _ in range(2)]
    queue.act()
    queue.end(after[0], "cancelled")
    queue.end(first)
    assert code(queue, after[1]) == "next"


def test_what_failed_and_is_run_again_lets_go_what_waits_for_it(queue: Fleet) -> None:
    first = queue.submit()
    after = queue.submit(after=(Dependency(first),))
    queue.act()
    queue.end(first, "failed")
    assert code(queue, after) == "dependency_failed"
    requeue(queue, first)
    assert code(queue, after) == "dependency"
    queue.act()
    queue.end(first)
    assert code(queue, after) == "next"


def test_what_waits_for_two_waits_for_the_first_again_when_that_runs_again(queue: Fleet) -> None:
    first, second = queue.submit(), queue.submit()
    after = queue.submit(after=(Dependency(first, ok=False), Dependency(second)))
    queue.act()
    queue.end(first, "failed")
    requeue(queue, first)
    queue.end(second)
    assert code(queue, after) == "dependency"
    queue.act()
    queue.end(first, "failed")
    assert code(queue, after) == "next"


def test_a_sweep_of_which_a_member_runs_again_is_not_over(queue: Fleet) -> None:
    sweep = queue.sweep(2)
    queue.act()
    queue.end(sweep + 1, "failed")
    queue.end(sweep + 2)
    before = queue.submit(after=(Dependency(sweep, ok=False),))
    requeue(queue, sweep + 1)
    after = queue.submit(after=(Dependency(sweep),))
    assert (code(queue, before), code(queue, after)) == ("next", "dependency")
    queue.act()
    queue.end(sweep + 1)
    assert code(queue, after) == "next"


def test_who_is_released_or_run_again_waits_for_what_runs_again(queue: Fleet) -> None:
    first = queue.submit()
    held = queue.submit(after=(Dependency(first, ok=False),))
    after = queue.submit(after=(Dependency(first, ok=False),))
    queue.act()
    queue.apply(events.JobHeld(time_s=queue.now_s, uid=held))
    queue.end(first, "failed")
    queue.act()
    queue.end(after)
    requeue(queue, first)
    requeue(queue, after)
    queue.apply(events.JobReleased(time_s=queue.now_s, uid=held))
    assert (code(queue, held), code(queue, after)) == ("dependency", "dependency")
    queue.act()
    queue.end(first)
    assert (code(queue, held), code(queue, after)) == ("next", "next")
