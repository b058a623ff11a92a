"""Who is stopped for whom, who waits for room instead, and what becomes of the room."""

import numpy as np
import pytest
from fixtures_scheduler import START_S, Fleet, Tier, fleet, placed

from batch import events
from batch.scheduler import PolicyConfig, Preempt
from batch.scheduler.learner import bin_of
from batch.scheduler.policy import served_soon

HOUR_S = 3600.0


def test_interactive_work_displaces_flex_at_once() -> None:
    queue = fleet()
    flex = queue.submit(gpus=8, tier=Tier.FLEX)
    queue.act()
    queue.now_s += 1
    now = queue.submit(gpus=4, tier=Tier.INTERACTIVE)
    actions = queue.act()
    assert [action.uid for action in actions if isinstance(action, Preempt)] == [flex]
    assert now in queue.places
    assert flex not in queue.places


def test_nothing_is_displaced_before_its_minimum_run() -> None:
    queue = fleet()
    queue.submit(gpus=8, team="a")
    queue.act()
    queue.now_s += 200
    queue.submit(gpus=8, team="b", tier=Tier.INTERACTIVE)
    assert queue.act() == []


def test_what_may_not_be_preempted_is_not() -> None:
    queue = fleet()
    queue.submit(gpus=8, tier=Tier.FLEX, preemptible=False)
    queue.act()
    queue.now_s += 10 * HOUR_S
    queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    assert queue.act() == []


def test_room_made_by_preemption_is_kept_for_whom_it_was_made() -> None:
    queue = fleet(nodes=1)
    victims = [queue.submit(gpus=4, tier=Tier.FLEX) for _ in range(2)]
    queue.act()
    queue.now_s += HOUR_S
    gang = queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    assert len(queue.act(grace=True)) == 2
    assert queue.act(grace=True) == []
    queue.now_s += 10
    queue.stop(victims[0])
    small = queue.submit(gpus=1, tier=Tier.INTERACTIVE)
    assert queue.act(grace=True) == []
    queue.stop(victims[1])
    assert placed(queue.act(grace=True)) == [gang]
    assert small not in queue.places


def test_room_is_not_kept_for_a_beneficiary_that_is_gone() -> None:
    queue = fleet(nodes=1)
    victim = queue.submit(gpus=8, tier=Tier.FLEX)
    queue.act()
    queue.now_s += HOUR_S
    urgent = queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    queue.act(grace=True)
    queue.end(urgent, "cancelled")
    queue.stop(victim)
    queue.now_s += 1
    assert placed(queue.act()) == [victim]


def test_victims_are_those_with_the_cheapest_node() -> None:
    """Two nodes of flex jobs; one node's jobs have just saved. The interactive gang stops those."""
    queue = fleet(nodes=2)
    jobs = [queue.submit(gpus=4, tier=Tier.FLEX) for _ in range(4)]
    queue.act()
    queue.now_s += 10 * HOUR_S
    on_second = {uid for uid in jobs if queue.places[uid].nodes == ("p1",)}
    for uid in jobs:
        if uid in on_second:
            queue.saved(uid)
        else:
            queue.apply(
                events.JobCheckpointed(time_s=queue.now_s, uid=uid, attempt=1, saved_s=queue.now_s - 5 * HOUR_S)
            )
    queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    assert {action.uid for action in queue.act() if isinstance(action, Preempt)} == on_second


def test_keeping_silent_about_checkpoints_does_not_help() -> None:
    """A job that reports nothing is charged the median of those who do, not its whole run."""
    queue = fleet(nodes=1)
    reports, silent = (queue.submit(gpus=4, tier=Tier.FLEX) for _ in range(2))
    queue.act()
    queue.now_s += 10 * HOUR_S
    queue.saved(reports)
    queue.now_s += 100
    queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    bills = {action.uid: action.bill_s for action in queue.act() if isinstance(action, Preempt)}
    assert bills[silent] == pytest.approx(bills[reports])


def test_one_team_may_not_preempt_without_end() -> None:
    queue = fleet(nodes=4, policy=PolicyConfig(preemption_burst=2.0, preemptions_per_h=0.0))
    for _ in range(32):
        queue.submit(gpus=1, team="a")
    queue.act()
    queue.now_s += 10 * HOUR_S
    for _ in range(32):
        queue.submit(gpus=1, team="b")
    queue.now_s += 3 * HOUR_S
    assert sum(isinstance(action, Preempt) for action in queue.act()) <= 2


def crowded(policy: PolicyConfig, ran_s: float, coming: int, **about: object) -> tuple[Fleet, int]:
    """Return a queue in which one team has all 16 chips, and how many it loses when another one wants `coming`."""
    queue = fleet(nodes=2, policy=policy)
    running = [queue.submit(team="a") for _ in range(16)]
    queue.act()
    queue.now_s += ran_s
    for uid in running:
        queue.saved(uid)
    for _ in range(coming):
        queue.submit(team="b", **about)
    return queue, sum(isinstance(action, Preempt) for action in queue.decide())


def test_room_that_comes_soon_by_itself_is_waited_for() -> None:
    hasty = PolicyConfig(patience_fraction=0.0, soon_s=0.0)
    thrifty = PolicyConfig(patience_fraction=0.0)
    assert crowded(hasty, 20 * 60, coming=8)[1] == 8
    queue, stopped = crowded(thrifty, 20 * 60, coming=8)
    assert 0 < stopped < 8, "what should end within ten minutes is enough for some of them only"
    assert crowded(thrifty, 8 * 60, coming=4)[1] == 0, "of young jobs many end soon"
    assert crowded(thrifty, 10 * HOUR_S, coming=8)[1] == 8, "what has run for long mostly goes on"
    expected = queue.state.learner.ends_per_s(np.array([0]), np.array([bin_of(20 * 60)]))
    assert 8 - stopped == int(16 * expected.item() * thrifty.soon_s)


def test_what_is_urgent_does_not_wait_for_room_that_comes_soon() -> None:
    policy = PolicyConfig(patience_fraction=0.0)
    assert crowded(policy, 8 * 60, coming=4, deadline_s=START_S + 9 * 60)[1] == 4
    assert crowded(policy, 8 * 60, coming=4, tier=Tier.INTERACTIVE)[1] == 4


def test_room_that_should_come_is_not_waited_for_without_end() -> None:
    policy = PolicyConfig()
    assert served_soon(policy.patience_max_s - 1, 8.5, 4, policy) == 2
    assert served_soon(policy.patience_max_s, 8.5, 4, policy) == 0
    assert served_soon(0.0, -1.0, 4, policy) == 0


@pytest.mark.parametrize(("reports", "spared_h"), [(True, 4), (False, 1)])
def test_what_reports_checkpoints_is_spared_until_the_next_one(reports: bool, spared_h: int) -> None:
    queue = fleet(policy=PolicyConfig(patience_fraction=0.0))
    running = [queue.submit(team="a") for _ in range(8)]
    queue.act()
    if reports:
        for uid in running:
            queue.saved(uid)
    queue.now_s += 10 * HOUR_S
    queue.submit(team="b")
    queue.now_s += (spared_h - 0.1) * HOUR_S
    assert queue.decide() == []
    queue.now_s += 0.2 * HOUR_S
    assert [type(action) for action in queue.decide()] == [Preempt]
