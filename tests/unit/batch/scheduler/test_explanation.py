"""The answers to `why`, and where the teams stand."""

import pytest
from fixtures_scheduler import START_S, Dependency, Fleet, Tier

from batch import events
from batch.errors import NotFoundError
from batch.model import JobSpec, Shape
from batch.scheduler import CODES, PolicyConfig, fair_share, why


def fleet(nodes: int = 2, **about: object) -> Fleet:
    made = Fleet()
    made.pool(nodes=nodes, **about)  # type: ignore[arg-type]
    return made


def code(queue: Fleet, uid: int) -> str:
    return why(queue.state, uid, queue.now_s).reason.code


def test_each_constraint_has_its_code() -> None:
    queue = fleet(nodes=1)
    queue.team("capped", quota=1)
    queue.pool("d", nodes=1, gpus=32, drained=True)
    running = queue.submit(gpus=7)
    queue.act()
    capped = queue.submit(team="capped"), queue.submit(team="capped")
    queue.act()
    failed = queue.submit(gpus=1, not_before_s=START_S + 100)
    expected = {
        running: "running",
        capped[1]: "quota",
        queue.submit(held=True): "held",
        queue.submit(after=(Dependency(running),)): "dependency",
        failed: "not_before",
        queue.submit(gpus=99): "impossible",
        queue.submit(gpus=16): "drained",
        queue.submit(gpus=2): "chips",
        queue.sweep(5, max_running=0) + 2: "sweep_limit",
    }
    assert {uid: code(queue, uid) for uid in expected} == expected
    queue.end(failed, "failed")
    with pytest.raises(NotFoundError, match="whether it is over"):
        code(queue, failed)
    assert code(queue, queue.submit(after=(Dependency(failed),))) == "dependency_failed"
    assert set(expected.values()) <= set(CODES)


def test_fragmentation_is_told_from_lack_and_something_smaller_is_offered() -> None:
    queue = fleet(nodes=2)
    for _ in range(2):
        queue.submit(gpus=5)
    queue.act()
    whole = queue.submit(gpus=6)
    answer = why(queue.state, whole, queue.now_s)
    assert answer.reason.code in {"fragmented", "reserved"}
    wide = queue.submit(gpus=3, nodes=2)
    assert code(queue, wide) in {"next", "reserved"}


def test_what_would_start_now_instead() -> None:
    queue = fleet(nodes=2)
    queue.pool("q", nodes=1)
    queue.submit(gpus=8, pool="p")
    queue.submit(gpus=7, pool="p")
    queue.act()
    job = queue.submit(gpus=8, nodes=2, pool="p")
    answer = why(queue.state, job, queue.now_s)
    assert answer.reason.code == "chips"
    single = queue.submit(gpus=4, pool="p")
    texts = [alternative.text for alternative in why(queue.state, single, queue.now_s).instead]
    assert any("in q" in text for text in texts)


def test_place_share_and_expected_start() -> None:
    queue = fleet(nodes=1)
    first = queue.submit(gpus=8, team="a", time_limit_s=7200.0)
    queue.act()
    waiting = [queue.submit(gpus=8, team="a") for _ in range(3)]
    other = queue.submit(gpus=8, team="b")
    answer = why(queue.state, waiting[2], queue.now_s)
    assert answer.team_place == 3
    assert answer.waiting == 4
    assert answer.place in {3, 4}
    assert answer.used_chips == 8
    assert answer.entitled_chips == pytest.approx(4)
    assert answer.ahead_chips in {16, 24}
    assert answer.start_p50_s is not None
    assert answer.start_p90_s is not None
    assert queue.now_s < answer.start_p50_s <= answer.start_p90_s
    assert why(queue.state, other, queue.now_s).place <= 2
    assert first in queue.places


def test_members_of_a_sweep_know_their_place_without_a_record() -> None:
    queue = fleet(nodes=1)
    queue.submit(gpus=8)
    queue.act()
    sweep = queue.sweep(10_000)
    answer = why(queue.state, sweep + 7_000, queue.now_s)
    assert answer.place == answer.team_place == 7_000
    assert len(queue.state.roster.jobs) == 1


def test_jobs_of_its_own_kind_are_named_among_those_ahead() -> None:
    queue = fleet(nodes=1)
    queue.submit(gpus=8)
    queue.act()
    urgent = queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    first, second, third = (queue.submit(gpus=8) for _ in range(3))
    assert why(queue.state, first, queue.now_s).ahead == (urgent,)
    assert why(queue.state, third, queue.now_s).ahead == (urgent, first, second)


def test_making_room_is_said() -> None:
    queue = fleet(nodes=1)
    queue.submit(gpus=8, tier=Tier.FLEX)
    queue.act()
    queue.now_s += 3600
    urgent = queue.submit(gpus=8, tier=Tier.INTERACTIVE)
    queue.act(grace=True)
    assert code(queue, urgent) == "making_room"


def test_unknown_jobs_are_not_found() -> None:
    with pytest.raises(NotFoundError, match="77"):
        why(fleet().state, 77, START_S)


def test_learned_durations_shorten_the_expected_start() -> None:
    """Jobs of recipe `short` have always taken a minute, jobs of `long` a day: what runs decides who starts when."""

    def expected(recipe: str) -> float:
        queue = fleet(nodes=1)
        for recipe_seen, run_s in (("short", 60.0), ("long", 86400.0)):
            for _ in range(60):
                uid = queue.submit(gpus=8, recipe=recipe_seen)
                queue.act()
                queue.now_s += run_s
                queue.end(uid)
        queue.now_s += 3600.0
        queue.submit(gpus=8, recipe=recipe)
        queue.act()
        answer = why(queue.state, queue.submit(gpus=8), queue.now_s)
        assert answer.start_p50_s is not None
        return answer.start_p50_s - queue.now_s

    assert expected("long") > 5 * expected("short")


def test_standings() -> None:
    queue = fleet(nodes=1)
    queue.team("a", weight=3.0)
    queue.team("b", quota=5)
    for _ in range(8):
        queue.submit(team="a")
        queue.submit(team="b")
    queue.act()
    queue.now_s += 3600
    rows = {row.team: row for row in fair_share(queue.state, queue.now_s)}
    assert rows["a"].entitled_chips == pytest.approx(6)
    assert rows["b"].entitled_chips == pytest.approx(2)
    assert rows["a"].used_chips + rows["b"].used_chips == 8
    assert rows["b"].quota == 5
    assert rows["a"].waiting_chips == 8 - rows["a"].used_chips
    assert rows["a"].usage_chip_h > 0


def test_a_policy_that_cannot_be_meant_is_refused() -> None:
    nan = float("nan")
    for wrong in (
        {"tick_s": 0.0}, {"grad": -1.0}, {"compute_reservation": 100.0}, {"theta_start_chip_h": 1000.0}, {"grad": nan},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PolicyConfig(**wrong)  # type: ignore[arg-type]


def test_a_hold_of_a_sweep_reaches_members_asked_about() -> None:
    queue = fleet()
    sweep = queue.sweep(5)
    queue.apply(events.JobHeld(time_s=queue.now_s, uid=sweep))
    assert code(queue, sweep + 3) == "held"


def test_who_comes_next_waits_no_longer_than_what_runs_may_still_run() -> None:
    queue = fleet(nodes=1)
    queue.submit(gpus=8, time_limit_s=600.0)
    queue.act()
    answer = why(queue.state, queue.submit(gpus=8), queue.now_s)
    assert answer.start_p50_s is not None
    assert answer.start_p90_s is not None
    assert queue.now_s < answer.start_p50_s <= answer.start_p90_s <= queue.now_s + 600.0


def test_what_is_about_to_start_counts_where_a_limit_is_told_in_numbers() -> None:
    queue = fleet(nodes=1)
    queue.team("capped", quota=4)
    queue.submit(team="capped", gpus=3)
    second = queue.submit(team="capped", gpus=3)
    reason = why(queue.state, second, queue.now_s).reason
    assert (reason.code, reason.need, reason.have) == ("quota", 3, 1)
    assert reason.text == "capped uses 3 of its quota of 4 chips"
    first = 1 + queue.sweep(4, max_running=2)
    assert why(queue.state, first + 2, queue.now_s).reason.text == "2 members run, 2 may"


def test_who_is_ahead_is_as_many_as_the_place_says_also_in_a_sweep_at_its_limit() -> None:
    queue = fleet(nodes=1)
    first = 1 + queue.sweep(6, max_running=2)
    queue.act()
    answer = why(queue.state, first + 4, queue.now_s)
    assert (answer.reason.code, answer.place) == ("sweep_limit", 3)
    assert answer.ahead == (first + 2, first + 3)


def test_backfill_behind_one_gang_does_not_let_go_of_what_another_holds() -> None:
    """Nobody held it then and nobody got it, and whoever could use it was told that it starts next."""
    queue = fleet(nodes=2)

    def submit(gpus: int, cpus: int, nodes: int = 1, **about: object) -> int:
        uid = len(queue.specs) + 1
        spec = JobSpec(kind="command", payload={}, shape=Shape(nodes, gpus, cpus), **about)  # type: ignore[arg-type]
        queue.specs[uid] = spec
        queue.apply(events.JobSubmitted(time_s=queue.now_s, uid=uid, spec=spec))
        return uid

    submit(1, 30, preemptible=False)
    queue.act()
    submit(0, 40, nodes=2, tier=Tier.INTERACTIVE)  # on its first node 34 are free
    submit(7, 1, nodes=2)  # its accelerators are free, and of CPUs none beside the others'
    brief, long = submit(2, 1, tier=Tier.FLEX, time_limit_s=60.0), submit(2, 1, tier=Tier.FLEX)
    assert [action.uid for action in queue.decide()] == [brief]
    assert code(queue, long) == "reserved"
