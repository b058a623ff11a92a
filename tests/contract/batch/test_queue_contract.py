"""What every database of the queue must do: keep what it acknowledged, refuse what is not legal, never reuse a uid."""

import threading
from typing import Any

import pytest
from fixtures_queue import assert_rows_are_the_fold, command, fold, journal_of, seen, sweep_of, unfinished

from batch import events as ev, verbs
from batch.errors import (
    ConflictError,
    IllegalMoveError,
    LimitError,
    NotFoundError,
    StaleFenceError,
)
from batch.job_queue import Queue
from batch.model import Cause, Dependency, Node, Pool, Shape, Team, Tier
from batch.records import JobFilter, Token
from batch.states import JobState

S = JobState


def state(queue: Queue, uid: int) -> str:
    return queue.job(uid).state.text


def run(queue: Queue, uid: int) -> int:
    """Place and start a job; returns the attempt."""
    placed = queue.place_soon(uid, "local", ("node-0",)).result(10)
    queue.record(ev.JobStarted(time_s=placed.time_s, uid=uid, attempt=placed.attempt))
    return placed.attempt


def end(queue: Queue, uid: int, state: str = "succeeded", **fields: Any) -> None:
    queue.record(ev.JobEnded(time_s=0.0, uid=uid, state=state, attempt=queue.job(uid).attempt, **fields))


def test_a_job_from_submission_to_its_end(queue: Queue, clock: Any) -> None:
    (uid,) = queue.submit([command("first", user="ada")])
    clock.now_s = 1_010.0
    attempt = run(queue, uid)
    queue.record(ev.JobCheckpointed(time_s=1_020.0, uid=uid, attempt=attempt, saved_s=1_019.0, step=7))
    queue.record(ev.JobStopping(time_s=1_030.0, uid=uid, attempt=attempt, then="queued", reason="preempted"))
    stopped = ev.JobStopped(
        time_s=1_040.0, uid=uid, attempt=attempt, cause=Cause.PREEMPTION, then="queued", eligible_s=1_050.0
    )
    queue.record(stopped)
    job = queue.job(uid)
    assert (job.state, job.eligible_s, job.step, job.cause, job.then) == (S.QUEUED, 1_050.0, 7, Cause.PREEMPTION, "")
    assert run(queue, uid) == 2
    end(queue, uid, exit_code=0, metrics=(("loss", 0.5),))
    job = queue.job(uid)
    assert (job.state, job.exit_code, job.metrics) == (S.SUCCEEDED, 0, (("loss", 0.5),))
    first, second = queue.attempts(uid)
    assert (first.attempt, first.outcome, first.cause, first.saved_s) == (1, "queued", Cause.PREEMPTION, 1_019.0)
    assert (second.attempt, second.outcome, second.ended_s) == (2, "succeeded", 1_040.0)
    assert_rows_are_the_fold(queue)


def test_what_was_acknowledged_is_there_after_opening_again(queue: Queue, open_queue: Any) -> None:
    uids = queue.submit([command(str(index)) for index in range(3)])
    sweep = queue.submit_sweep(sweep_of(4))
    queue.cancel(uids[0])
    before, events = queue.jobs(JobFilter(members=True)), queue.events()
    epoch = queue.epoch
    queue.close()
    again = open_queue()
    assert again.epoch == epoch + 1
    assert (again.jobs(JobFilter(members=True)), again.events()) == (before, events)
    assert again.submit([command()])[0] > again.sweep(sweep).first_uid + 3
    assert_rows_are_the_fold(again)


def test_uids_are_contiguous_and_ids_are_not_alike(queue: Queue) -> None:
    uids = queue.submit([command() for _ in range(50)])
    assert uids == list(range(uids[0], uids[0] + 50))
    assert len({queue.job(uid).id[:3] for uid in uids}) > 45


def test_an_idempotency_key_makes_submitting_again_a_look_up(queue: Queue) -> None:
    queue.set_team(Team(name="vision"))
    specs = [command("a"), command("b")]
    uids = queue.submit(specs, key="once")
    assert queue.submit(specs, key="once") == uids
    assert queue.submit([command("a", team="vision")], key="once") != uids, "keys are each team's own"
    with pytest.raises(ConflictError, match="idempotency key 'once'"):
        queue.submit([command("a")], key="once")
    together = [queue.submit_soon([command("c")], key="twice") for _ in range(20)]
    assert len({tuple(future.result(10)) for future in together}) == 1
    assert len(queue.jobs()) == 4


def test_a_sweep_is_one_record_and_its_members_stand_alone_when_touched(queue: Queue) -> None:
    sweep = queue.submit_sweep(sweep_of(6, "grid"))
    assert queue.submit_sweep(sweep_of(6, "grid")) == sweep
    assert queue.submit_sweep(sweep_of(6, "other")) != sweep
    first = queue.sweep(sweep).first_uid
    run(queue, first + 2)
    queue.hold(first + 3)
    assert queue.sweep(sweep).counts == {S.QUEUED: 4, S.RUNNING: 1, S.HELD: 1}
    job = queue.job(first + 2)
    assert (job.sweep, job.index, job.overrides) == (sweep, 2, ("seed=2",))
    assert queue.job(first + 5).overrides == ("seed=5",)
    queue.hold(sweep)
    assert queue.sweep(sweep).counts == {S.HELD: 5, S.RUNNING: 1}
    queue.release(sweep)
    queue.change(sweep, tier=Tier.FLEX, max_running=2)
    assert {job.spec.tier for job in queue.jobs(JobFilter(sweep=sweep)) if job.uid != first + 2} == {Tier.FLEX}
    assert queue.sweep(sweep).spec.max_running == 2
    events = queue.cancel(sweep)
    assert [type(event) for event in events] == [ev.JobStopping, ev.JobEnded]
    end(queue, first + 2, "cancelled")
    assert queue.sweep(sweep).counts == {S.CANCELLED: 6}
    assert len(queue.requeue(sweep)) == 6
    assert queue.sweep(sweep).counts == {S.QUEUED: 6}
    with pytest.raises(ConflictError, match="no member of it failed"):
        queue.requeue(sweep)
    assert_rows_are_the_fold(queue)


def test_dependencies_hold_back_until_they_are_met(queue: Queue) -> None:
    (first,) = queue.submit([command("first")])
    sweep = queue.submit_sweep(sweep_of(2, after=(Dependency(first, ok=False),)))
    (last,) = queue.submit([command("last", after=(Dependency(sweep),))])
    pair = queue.submit([command("left", after=(Dependency(-2),)), command("right", after=(Dependency(first),))])
    assert [state(queue, uid) for uid in (last, *pair)] == ["blocked"] * 3
    assert queue.job(pair[0]).spec.after == (Dependency(pair[1]),)
    run(queue, first)
    end(queue, first, "failed")
    assert queue.sweep(sweep).counts == {S.QUEUED: 2}, "it only waits for the end"
    assert [state(queue, uid) for uid in pair] == ["blocked", "blocked"], "they wait for success"
    queue.requeue(first)
    run(queue, first)
    end(queue, first)
    assert [state(queue, uid) for uid in pair] == ["blocked", "queued"]
    for member in (queue.sweep(sweep).first_uid, queue.sweep(sweep).first_uid + 1):
        assert state(queue, last) == "blocked"
        run(queue, member)
        end(queue, member)
    assert state(queue, last) == "queued"
    queue.hold(last)
    queue.release(last)
    assert state(queue, last) == "queued"
    assert_rows_are_the_fold(queue)


def test_a_blocked_job_that_was_held_or_cancelled_is_blocked_again(queue: Queue) -> None:
    (first,) = queue.submit([command()])
    (second,) = queue.submit([command(after=(Dependency(first),))])
    queue.hold(second)
    queue.release(second)
    assert state(queue, second) == "blocked"
    queue.cancel(second)
    queue.requeue(second)
    assert state(queue, second) == "blocked"


def test_events_of_an_attempt_that_is_over_are_stale(queue: Queue) -> None:
    (uid,) = queue.submit([command()])
    run(queue, uid)
    queue.record(
        ev.JobStopped(time_s=0.0, uid=uid, attempt=1, cause=Cause.INFRASTRUCTURE, then="queued", eligible_s=0.0)
    )
    before = queue.events()
    with pytest.raises(StaleFenceError, match="attempt 1"):
        end(queue, uid)
    run(queue, uid)
    late = [
        ev.JobStarted(time_s=0.0, uid=uid, attempt=1), ev.JobUnknown(time_s=0.0, uid=uid, attempt=1),
        ev.JobCheckpointed(time_s=0.0, uid=uid, attempt=1, saved_s=0.0),
        ev.JobEnded(time_s=0.0, uid=uid, attempt=1, state="succeeded"),
    ]  # fmt: skip
    for event in late:
        with pytest.raises(StaleFenceError):
            queue.record(event)
    assert len(queue.events()) == len(before) + 2


def test_a_fence_never_repeats_and_a_gang_is_placed_whole(queue: Queue) -> None:
    (uid,) = queue.submit([command(shape=Shape(2, 8))])
    placed = {"time_s": 0.0, "uid": uid, "attempt": 1, "pool": "p"}
    with pytest.raises(ConflictError, match="must be all 2 or none"):
        queue.record(ev.JobPlaced(**placed, fence=5, nodes=("a",)))
    queue.record(ev.JobPlaced(**placed, fence=5, nodes=("a", "b")))
    queue.cancel(uid, now=True)
    end(queue, uid, "cancelled")
    queue.requeue(uid)
    with pytest.raises(StaleFenceError, match="must be above 5"):
        queue.record(ev.JobPlaced(**placed | {"attempt": 2}, fence=5, nodes=("a", "b")))
    assert queue.place_soon(uid, "p", ("a", "b")).result(10).fence > 5


def test_record_is_all_or_nothing(queue: Queue) -> None:
    uids = queue.submit([command(), command()])
    before = queue.events()
    with pytest.raises(IllegalMoveError):
        queue.record(ev.JobHeld(time_s=0.0, uid=uids[0]), ev.JobReleased(time_s=0.0, uid=uids[1]))
    with pytest.raises(NotFoundError):
        queue.record(ev.JobHeld(time_s=0.0, uid=uids[0]), ev.JobHeld(time_s=0.0, uid=999))
    assert queue.events() == before
    assert {state(queue, uid) for uid in uids} == {"queued"}


def test_a_request_that_fails_leaves_those_of_its_commit_alone(queue: Queue) -> None:
    sweep = queue.submit_sweep(sweep_of(3))
    first = queue.sweep(sweep).first_uid
    futures = [queue.record_soon(ev.JobHeld(time_s=0.0, uid=uid)) for uid in (first, first, sweep, first + 1, sweep)]
    outcomes = [future.exception(10) is None for future in futures]
    assert outcomes == [True, False, True, False, True]
    assert queue.sweep(sweep).counts == {S.HELD: 3}
    assert_rows_are_the_fold(queue)


def test_a_member_that_was_looked_at_in_vain_follows_its_sweep(queue: Queue) -> None:
    sweep = queue.submit_sweep(sweep_of(3))
    member = queue.sweep(sweep).first_uid
    gate = threading.Event()
    queue._writer.ask(lambda _: gate.wait(10))
    plans = [
        queue._writer.ask(lambda ledger: verbs.release(ledger, member)),
        queue._writer.ask(lambda ledger: verbs.hold(ledger, sweep)),
        queue._writer.ask(lambda ledger: verbs.release(ledger, member)),
    ]
    gate.set()
    assert [type(plan.exception(10)) for plan in plans] == [ConflictError, type(None), type(None)]
    assert queue.sweep(sweep).counts == {S.HELD: 2, S.QUEUED: 1}
    assert_rows_are_the_fold(queue)


def test_holding_and_cancelling_what_runs_stops_it_first(queue: Queue) -> None:
    held, cancelled, silent = queue.submit([command(), command(), command()])
    for uid in (held, cancelled, silent):
        run(queue, uid)
    queue.hold(held)
    assert (state(queue, held), queue.job(held).then) == ("stopping", "held")
    with pytest.raises(IllegalMoveError, match="asked to be held"):
        queue.record(
            ev.JobStopped(time_s=0.0, uid=held, attempt=1, cause=Cause.USER_CODE, then="queued", eligible_s=0.0)
        )
    queue.record(ev.JobStopped(time_s=0.0, uid=held, attempt=1, cause=Cause.USER_CODE, then="held", eligible_s=0.0))
    assert state(queue, held) == "held"
    queue.cancel(cancelled)
    with pytest.raises(ConflictError, match="asked before"):
        queue.cancel(cancelled)
    queue.cancel(cancelled, now=True)
    assert queue.job(cancelled).stop_now
    with pytest.raises(IllegalMoveError, match="cannot be taken back"):
        queue.requeue(cancelled)
    queue.record(ev.JobUnknown(time_s=0.0, uid=silent, attempt=1))
    queue.cancel(silent, now=True)
    assert state(queue, silent) == "cancelled"
    assert_rows_are_the_fold(queue)


def test_a_silent_job_is_adopted_to_where_it_was_going(queue: Queue) -> None:
    runs, stops = queue.submit([command(), command()])
    for uid in (runs, stops):
        run(queue, uid)
    queue.cancel(stops)
    for uid in (runs, stops):
        queue.record(ev.JobUnknown(time_s=0.0, uid=uid, attempt=1))
        queue.record(ev.JobAdopted(time_s=0.0, uid=uid, attempt=1))
    assert (state(queue, runs), state(queue, stops)) == ("running", "stopping")


def test_the_listener_hears_every_event_before_its_caller(queue: Queue) -> None:
    heard: list[tuple[int, ev.Event]] = []
    last = queue.listen(heard.extend)
    uids = queue.submit([command(), command()])
    assert [seq for seq, _ in heard] == [last + 1, last + 2]
    queue.cancel(uids[0])
    sweep = queue.submit_sweep(sweep_of(3))
    assert heard == queue.events(after=last)
    assert [type(event).__name__ for event in map(lambda pair: pair[1], queue.events(uid=sweep))] == ["SweepSubmitted"]


def test_time_never_goes_back(queue: Queue, clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    queue.submit([command()])
    clock.now_s = 10.0
    (uid,) = queue.submit([command()])
    queue.hold(uid)
    assert 1_000.0 <= queue.job(uid).submitted_s <= queue.job(uid).changed_s < 1_100.0
    assert len([record for record in caplog.records if "clock" in record.message]) == 1
    clock.now_s = 2_000.0
    queue.release(uid)
    assert queue.job(uid).changed_s == 2_000.0
    journal_of(queue)


def test_teams_bound_what_is_submitted(queue: Queue) -> None:
    queue.set_team(Team(name="closed", quota=0))
    queue.set_team(Team(name="small", quota=4, max_queued=3))
    with pytest.raises(NotFoundError, match="there are closed, default, small"):
        queue.submit([command(team="nobody")])
    with pytest.raises(LimitError, match="could never start"):
        queue.submit([command(team="closed")])
    with pytest.raises(LimitError, match="its quota is 4, the job needs 8"):
        queue.submit_sweep(sweep_of(2, team="small", shape=Shape(1, 8)))
    queue.submit([command(team="small"), command(team="small")])
    with pytest.raises(LimitError, match="2 of its jobs wait and 2 are submitted"):
        queue.submit_sweep(sweep_of(2, team="small"))
    queue.submit_sweep(sweep_of(1, team="small"))
    with pytest.raises(LimitError):
        queue.submit([command(team="small")])
    assert len(queue.jobs(JobFilter(members=True))) == 3


def test_names_ids_and_abbreviations(queue: Queue) -> None:
    uids = queue.submit([command(f"run-{index}") for index in range(40)])
    sweep = queue.submit_sweep(sweep_of(3, "grid.2"))
    job = queue.job(uids[7])
    for text in (job.id, job.id.upper(), job.id[:5], "run-7"):
        assert queue.resolve(text) == uids[7]
    first = queue.sweep(sweep).first_uid
    found = [queue.resolve(f"{text}.1") for text in ("grid.2", queue.sweep(sweep).id, queue.sweep(sweep).id[:6])]
    assert found == [first + 1] * 3
    assert queue.resolve("grid.2") == sweep
    assert queue.resolve(queue.job(first + 2).id) == first + 2
    queue.submit([command(queue.job(first + 2).id)])  # a name that looks like an id takes no job's place
    assert queue.resolve(queue.job(first + 2).id) == first + 2
    (named,) = queue.submit([command(f"{job.id}.2")])
    assert queue.resolve(f"{job.id}.2") == named


def test_filters_do_not_tell_members_with_a_row_from_others(queue: Queue) -> None:
    (single,) = queue.submit([command("single", user="ada")])
    sweep = queue.submit_sweep(sweep_of(5, "many", user="bob"))
    first = queue.sweep(sweep).first_uid
    queue.hold(first + 1)
    queue.hold(first + 4)

    def found(**where: Any) -> list[int]:
        return [job.uid for job in queue.jobs(JobFilter(**where))]

    everybody = [first + 4, first + 3, first + 2, first + 1, first, single]
    assert found() == [single]
    assert found(members=True) == everybody
    assert found(members=True, newest=False) == everybody[::-1]
    assert found(members=True, limit=2, beyond=first + 3) == [first + 2, first + 1]
    assert found(members=True, newest=False, beyond=first + 2) == [first + 3, first + 4]
    assert found(members=True, beyond=first) == [single]
    assert found(members=True, states=frozenset({S.QUEUED})) == [first + 3, first + 2, first, single]
    assert found(sweep=sweep, states=frozenset({S.HELD})) == [first + 4, first + 1]
    assert found(members=True, user="ada") == [single]
    assert found(members=True, name="many", limit=1) == [first + 4]
    assert [s.uid for s in queue.sweeps(JobFilter(states=frozenset({S.HELD})))] == [sweep]
    assert queue.sweeps(JobFilter(states=frozenset({S.RUNNING}))) == []


def test_pools_and_tokens_are_kept(queue: Queue) -> None:
    pool = Pool(name="local", nodes=(Node("n0", 8, 64, "h100", (("zone", "a"),)),), drained=True)
    queue.set_pool(pool)
    assert queue.pools() == {"local": pool}
    token = Token(digest="ab" * 32, name="agent", role="agent", created_s=1.0, expires_s=2.0)
    queue.add_token(token)
    assert queue.tokens() == [token]
    with pytest.raises(ConflictError, match="has the same secret"):
        queue.add_token(token)
    queue.remove_token(token.digest)
    with pytest.raises(NotFoundError):
        queue.remove_token(token.digest)


def test_replay_is_the_journal_without_what_no_longer_matters(queue: Queue) -> None:
    queue.set_pool(Pool(name="old"))
    done = queue.submit([command(f"done-{index}") for index in range(6)])
    for uid in done:
        run(queue, uid)
        end(queue, uid)
    (failed,) = queue.submit([command("failed")])
    queue.cancel(failed)
    blocked, running = queue.submit([command(after=(Dependency(failed),)), command(payload={"x": 1})])
    over, open_sweep = queue.submit_sweep(sweep_of(3, "over")), queue.submit_sweep(sweep_of(3, "open"))
    queue.cancel(over)
    attempt = run(queue, running)
    for step in range(5):
        queue.record(ev.JobCheckpointed(time_s=0.0, uid=running, attempt=attempt, saved_s=float(step), step=step))
    member = queue.sweep(open_sweep).first_uid
    run(queue, member)
    end(queue, member, "failed")
    queue.set_team(Team(name="default", weight=2.0))
    replayed = list(queue.replay(history=3))
    whole, short = fold(journal_of(queue)), fold(replayed)
    assert unfinished(whole) == unfinished(short)
    assert (whole.teams, whole.pools) == (short.teams, short.pools)
    assert set(short.jobs) == {done[4], done[5], failed, blocked, running, *whole.members[open_sweep]}
    assert len([event for event in replayed if isinstance(event, ev.JobCheckpointed)]) == 1
    assert [event.time_s for event in replayed] == sorted(event.time_s for event in replayed)


def test_replay_reads_over_what_lies_between(queue: Queue) -> None:
    uids = queue.submit([command(), command()])
    sweep = queue.submit_sweep(sweep_of(2))
    queue.hold(queue.sweep(sweep).first_uid)
    uids += queue.submit([command(), command(), command()])
    queue.cancel(uids[3])
    assert unfinished(fold(queue.replay(history=0))) == unfinished(fold(journal_of(queue)))


def test_what_is_read_is_what_was_written(queue: Queue) -> None:
    spec = command(
        "all", recipe="r", tier=Tier.FLEX, time_limit_s=60.0, not_before_s=5.0, deadline_s=99.0, pool="p", code="c0de",
        retries={Cause.PREEMPTION: 3}, preemptible=False, grace_s=1.5, held=True, payload={"a": [1, None, "ü"]},
        shape=Shape(2, 8, 4, "h100", (("zone", "a"),), "rack"),
    )  # fmt: skip
    (uid,) = queue.submit([spec])
    assert queue.job(uid).spec == spec
    assert queue.events()[-1][1] == ev.JobSubmitted(time_s=1_000.0, uid=uid, spec=spec)
    queue.change(uid, tier=Tier.STANDARD, time_limit_s=30.0)
    changed = queue.job(uid)
    assert (changed.spec.tier, changed.spec.time_limit_s, changed.spec.deadline_s) == (Tier.STANDARD, 30.0, 99.0)
    assert seen(queue.jobs()[0]) == seen(changed)
