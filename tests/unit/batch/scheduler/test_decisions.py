"""What is decided, case by case."""

from fixtures_scheduler import START_S, Dependency, Fleet, Tier, fleet, placed

from batch import events
from batch.model import Cause
from batch.scheduler import Place, PolicyConfig, Preempt, Reserve, Wait, decide

HOUR_S = 3600.0


def test_nothing_to_do_is_nothing() -> None:
    assert fleet().act() == []


def test_jobs_that_come_before_the_first_pool_wait_for_it() -> None:
    queue = Fleet(PolicyConfig())
    uids = [queue.submit(), queue.submit(gpus=8, nodes=2)]
    assert queue.act() == []
    queue.pool(nodes=3)
    assert sorted(placed(queue.act())) == uids


def test_small_jobs_fill_started_nodes_and_leave_whole_ones_whole() -> None:
    queue = fleet(nodes=3)
    small = [queue.submit(gpus=3), queue.submit(gpus=3), queue.submit(gpus=2)]
    gang = queue.submit(gpus=8, nodes=2)
    assert sorted(placed(queue.act())) == sorted([*small, gang])
    assert len({queue.places[uid].nodes for uid in small}) == 1


def test_a_gang_gets_all_its_nodes_or_none() -> None:
    queue = fleet(nodes=2)
    queue.submit(gpus=1)
    gang = queue.submit(gpus=8, nodes=2)
    queue.act()
    assert gang not in queue.places or queue.places[gang].nodes == ("p0", "p1")
    assert len(queue.places) == 1


def test_topology_labels_are_uniform() -> None:
    queue = fleet(nodes=4, racks=2)
    gang = queue.submit(gpus=8, nodes=2, same="rack")
    queue.act()
    assert queue.places[gang].nodes in {("p0", "p2"), ("p1", "p3")}
    assert placed(queue.act()) == []
    too_wide = queue.submit(gpus=1, nodes=3, same="rack")
    assert too_wide not in placed(queue.act())


def test_accelerators_and_pools_are_respected() -> None:
    queue = fleet(nodes=1, accelerator="h100")
    queue.pool("q", nodes=1, accelerator="trn2")
    wants = queue.submit(accelerator="trn2"), queue.submit(pool="p"), queue.submit(accelerator="a100")
    queue.act()
    assert queue.places[wants[0]].pool == "q"
    assert queue.places[wants[1]].pool == "p"
    assert wants[2] not in queue.places


def test_a_drained_pool_takes_nothing_new() -> None:
    queue = fleet()
    first = queue.submit()
    queue.act()
    queue.pool(nodes=1, drained=True)
    queue.submit()
    assert queue.act() == []
    assert first in queue.places


def test_jobs_that_want_no_accelerator_are_counted_in_cpus() -> None:
    queue = fleet()
    jobs = [queue.submit(gpus=0) for _ in range(70)]
    assert len(placed(queue.act())) == 64
    assert queue.submit(gpus=8) in placed(queue.act()) or len(jobs) == 70


def test_quota_zero_starts_nothing_and_a_quota_is_a_cap() -> None:
    queue = fleet()
    queue.team("none", quota=0)
    queue.team("some", quota=3)
    for _ in range(5):
        queue.submit(team="none")
        queue.submit(team="some")
    queue.act()
    assert queue.used("none") == 0
    assert queue.used("some") == 3


def test_interactive_first_then_standard_then_flex() -> None:
    queue = fleet(policy=PolicyConfig())
    jobs = [queue.submit(gpus=8, tier=tier) for tier in (Tier.FLEX, Tier.STANDARD, Tier.INTERACTIVE)]
    order = []
    for _ in range(3):
        order += placed(queue.act())
        queue.now_s += 60
        queue.end(order[-1])
    assert order == jobs[::-1]


def test_a_sweep_runs_as_many_as_it_may() -> None:
    queue = fleet()
    queue.sweep(10_000, max_running=3)
    assert placed(queue.act()) == [2, 3, 4]
    assert queue.act() == []
    queue.end(3)
    assert placed(queue.act()) == [5]
    queue.apply(events.JobChanged(time_s=queue.now_s, uid=1, max_running=5))
    assert placed(queue.act()) == [6, 7]
    assert len(queue.state.roster.waiting.rows) == 1


def test_the_breaker_holds_the_rest_of_a_sweep_back() -> None:
    queue = fleet()
    queue.sweep(50, stop_if_failed=0.2)
    queue.act()
    for uid in list(queue.places)[:5]:
        queue.end(uid, "failed")
    assert queue.act() == []
    survivors = [uid for uid in queue.places]
    for uid in survivors:
        queue.end(uid)
    assert queue.act() == []


def test_holding_and_cancelling_a_sweep_reach_its_waiting_members() -> None:
    queue = fleet()
    sweep = queue.sweep(20)
    queue.act()
    queue.apply(events.JobHeld(time_s=queue.now_s, uid=sweep))
    assert queue.state.waiting_count == 0
    queue.apply(events.JobReleased(time_s=queue.now_s, uid=sweep))
    assert queue.state.waiting_count == 12
    queue.apply(events.JobHeld(time_s=queue.now_s, uid=sweep + 15))
    assert queue.state.waiting_count == 11
    queue.apply(events.JobEnded(time_s=queue.now_s, uid=sweep, state="cancelled"))
    assert queue.state.waiting_count == 0
    assert len(queue.state.running.records) == 8


def test_dependencies() -> None:
    queue = fleet()
    first = queue.submit()
    after = queue.submit(after=(Dependency(first),))
    anyway = queue.submit(after=(Dependency(first, ok=False),))
    last = queue.submit(after=(Dependency(after),))
    assert placed(queue.act()) == [first]
    queue.end(first, "failed")
    assert placed(queue.act()) == [anyway]
    assert after not in queue.places
    assert last not in queue.places


def test_depending_on_a_sweep_is_depending_on_all_its_members() -> None:
    queue = fleet()
    sweep = queue.sweep(3)
    after = queue.submit(after=(Dependency(sweep),))
    queue.act()
    for uid in list(queue.places):
        assert after not in queue.places
        queue.end(uid)
        queue.act()
    assert after in queue.places


def test_not_before_and_back_off() -> None:
    queue = fleet()
    later = queue.submit(not_before_s=START_S + 100)
    assert queue.act() == []
    queue.now_s += 100
    assert placed(queue.act()) == [later]
    queue.stop(later, Cause.INFRASTRUCTURE, eligible_s=queue.now_s + 50)
    assert queue.act() == []
    queue.now_s += 51
    assert placed(queue.act()) == [later]


def test_hold_after_a_stop_and_requeue_after_the_end() -> None:
    queue = fleet()
    job = queue.submit()
    queue.act()
    queue.stop(job, then="held")
    assert queue.act() == []
    queue.apply(events.JobReleased(time_s=queue.now_s, uid=job))
    queue.now_s += 1
    assert placed(queue.act()) == [job]
    queue.end(job)
    queue.apply(events.JobRequeued(time_s=queue.now_s, uid=job))
    assert placed(queue.act()) == [job]


def test_a_deadline_that_comes_near_goes_first() -> None:
    queue = fleet()
    plain = queue.submit(gpus=8)
    near = queue.submit(gpus=8, deadline_s=START_S + 0.4 * HOUR_S)
    assert placed(queue.act()) == [near]
    assert plain not in queue.places


def test_a_deadline_that_has_passed_hurts_nobody() -> None:
    queue = fleet()
    plain = queue.submit(gpus=8)
    queue.submit(gpus=8, deadline_s=START_S - HOUR_S)
    assert placed(queue.act()) == [plain]


def test_compute_reservation_keeps_room_for_teams_that_are_not_active() -> None:
    queue = fleet(policy=PolicyConfig(compute_reservation=50))
    for _ in range(8):
        queue.submit(team="a")
    queue.act()
    assert queue.used("a") == 4
    for _ in range(8):
        queue.submit(team="b")
    queue.act()
    assert queue.used("a") + queue.used("b") == 6


def test_the_clock_of_the_state_never_goes_back() -> None:
    queue = fleet()
    queue.submit()
    queue.now_s += 1000
    queue.decide()
    queue.now_s -= 5000
    late = queue.submit()
    assert queue.state.clock_s == START_S + 1000
    assert late in placed(queue.act())
    assert queue.state.roster.jobs[late].since_s == START_S + 1000


def test_unknown_jobs_keep_their_place() -> None:
    queue = fleet()
    job = queue.submit(gpus=8, tier=Tier.FLEX)
    queue.act()
    queue.now_s += HOUR_S
    queue.apply(events.JobUnknown(time_s=queue.now_s, uid=job, attempt=1))
    urgent = queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    assert queue.act() == []
    queue.apply(events.JobAdopted(time_s=queue.now_s, uid=job, attempt=1))
    assert urgent in placed(queue.act())


def test_a_lost_node_takes_nothing_and_gives_nothing_back() -> None:
    queue = fleet(nodes=2)
    jobs = [queue.submit(gpus=8), queue.submit(gpus=8)]
    queue.act()
    queue.pool(nodes=1)
    queue.end(next(uid for uid in jobs if queue.places[uid].nodes == ("p1",)))
    waiting = queue.submit(gpus=1)
    assert queue.act() == []
    queue.end(next(iter(queue.places)))
    assert placed(queue.act()) == [waiting]


def test_explaining_adds_reservations_and_reasons_and_changes_nothing() -> None:
    queue = fleet(nodes=2)
    for _ in range(2):
        queue.submit(gpus=7)
    queue.act()
    gang = queue.submit(gpus=8, nodes=2)
    more = [queue.submit(gpus=2) for _ in range(3)]
    plain = queue.decide()
    explained = decide(queue.state, queue.now_s, explain=True)
    assert [action for action in explained if isinstance(action, Place | Preempt)] == plain
    reserve = next(action for action in explained if isinstance(action, Reserve))
    assert reserve.uid in {gang, more[0]}
    assert START_S < reserve.start_p50_s <= reserve.start_p90_s
    waits = {action.first_uid: action for action in explained if isinstance(action, Wait)}
    assert waits[more[0]].count == 3
    assert waits[gang].reason.code == "chips"


def test_a_gang_that_has_waited_enough_is_due_for_good() -> None:
    queue = fleet(nodes=2)
    for _ in range(16):
        queue.submit(gpus=1, team="small")
    queue.act()
    gang = queue.submit(gpus=8, nodes=2, team="big")
    for _ in range(40):
        queue.now_s += 0.5 * HOUR_S
        for uid in list(queue.places)[:4]:
            if uid != gang:
                queue.end(uid)
        for _ in range(4):
            queue.submit(gpus=1, team="small")
        queue.act()
        if gang in queue.places:
            break
    assert gang in queue.places
    queue.now_s += 24 * HOUR_S
    for _ in range(50):
        queue.submit(gpus=1, team="small")
    queue.now_s += 24 * HOUR_S
    queue.act()
    assert gang in queue.places or not queue.state.roster.jobs[gang].due
