"""Which of the running make room: whom stopping costs least, and who can go on elsewhere so that nodes come whole."""

from fixtures_scheduler import Fleet, Tier

from batch.scheduler import PolicyConfig, Preempt
from batch.scheduler.policy import Victims

HOUR_S = 3600.0


def halves(nodes: int, *, preemptible: bool = True) -> tuple[Fleet, list[int]]:
    """Return nodes that are all half full, and the jobs on them."""
    queue = Fleet(PolicyConfig())
    queue.pool(nodes=nodes)
    jobs = [queue.submit(gpus=4, preemptible=preemptible) for _ in range(2 * nodes)]
    queue.act()
    queue.now_s += HOUR_S
    seen = set()
    for uid in jobs:
        where = queue.places[uid].nodes
        if where in seen:
            queue.end(uid)
        seen.add(where)
    return queue, [uid for uid in jobs if uid in queue.places]


def test_a_small_job_moves_for_a_gang_that_needs_a_whole_node() -> None:
    queue, jobs = halves(2)
    gang = queue.submit(gpus=8)
    assert queue.act() == []
    queue.now_s += 3 * HOUR_S
    moved = [action for action in queue.act() if isinstance(action, Preempt)]
    assert [(action.uid in jobs, action.beneficiary, action.reason) for action in moved] == [(True, gang, "packing")]
    assert gang in queue.places
    queue.now_s += 60
    queue.act()
    assert set(jobs) | {gang} == set(queue.places)


def test_gangs_of_several_nodes_get_them_too() -> None:
    queue, jobs = halves(4)
    gang = queue.submit(gpus=8, nodes=2)
    queue.now_s += 3 * HOUR_S
    queue.act()
    queue.now_s += 60
    queue.act()
    assert set(jobs) | {gang} == set(queue.places)


def test_nobody_moves_who_would_find_no_place() -> None:
    queue, _ = halves(2)
    queue.submit(gpus=8, nodes=2)
    queue.now_s += 3 * HOUR_S
    assert not any(isinstance(action, Preempt) and action.reason == "packing" for action in queue.act())


def test_what_may_not_be_preempted_does_not_move() -> None:
    queue, jobs = halves(2, preemptible=False)
    queue.submit(gpus=8)
    queue.now_s += 3 * HOUR_S
    assert queue.act() == []
    assert set(jobs) == set(queue.places)


def test_victims_are_whom_it_costs_least_unless_the_youngest_are_asked_for() -> None:
    stopped = []
    for victims in Victims:
        queue = Fleet(PolicyConfig(victims=victims))
        queue.pool(nodes=2)
        saved = queue.submit(gpus=8, tier=Tier.FLEX)
        queue.act()
        queue.now_s += HOUR_S
        young = queue.submit(gpus=8, tier=Tier.FLEX)
        queue.act()
        queue.now_s += HOUR_S
        queue.saved(saved)
        for _ in range(3):
            queue.submit(gpus=4, tier=Tier.INTERACTIVE)
        first = next(action for action in queue.act() if isinstance(action, Preempt))
        stopped.append((victims, first.uid == young))
    assert stopped == [(Victims.BILL, False), (Victims.YOUNGEST, True)]


def test_the_place_of_a_mover_is_kept_while_it_saves() -> None:
    queue, jobs = halves(2)
    gang = queue.submit(gpus=8)
    queue.now_s += 3 * HOUR_S
    [moved] = [action for action in queue.act(grace=True) if isinstance(action, Preempt)]
    other = next(uid for uid in jobs if uid != moved.uid)
    # While it saves, others come who would fit exactly where it is to go on.
    rivals = [queue.submit(gpus=4) for _ in range(3)]
    for _ in range(5):
        queue.now_s += 10
        queue.act(grace=True)
        assert set(queue.places) == {moved.uid, other}, "neither the room of the gang nor the mover's is given away"
    queue.stop(moved.uid)
    queue.act()
    assert {gang, moved.uid, other} <= set(queue.places)
    assert not set(rivals) & set(queue.places)


def test_a_place_that_is_lost_meanwhile_costs_the_mover_only_its_wait() -> None:
    queue, _ = halves(2)
    gang = queue.submit(gpus=8)
    queue.now_s += 3 * HOUR_S
    [moved] = [action for action in queue.act(grace=True) if isinstance(action, Preempt)]
    queue.pool(nodes=1)  # the node where it was to go on, or the other one, has left the pool
    queue.now_s += 60
    queue.stop(moved.uid)
    queue.act(grace=True)
    queue.pool(nodes=2)
    for _ in range(40):
        queue.now_s += 600
        queue.act()
        for uid in list(queue.places):
            if uid != moved.uid:
                queue.end(uid)
    assert moved.uid in queue.places
    assert gang in queue.ended
