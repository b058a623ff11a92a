"""Agents: leases, reports, restarts of either side, logs."""

import threading
from pathlib import Path

import pytest
from fixtures_controller import AGENT, DEADLINE_S, FakeAgent, Served, serving, wait_until

from batch.agent.messages import MAX_WAIT_S, AttemptStatus, Grant, LogChunk, SyncAnswer, SyncRequest
from batch.controller import agent_desk, outcomes
from batch.model import Cause


def test_a_job_runs_to_its_end_and_is_forgotten_when_that_is_durable(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit({"shape": {"cpus": 2}, "time_limit_s": 60})
    [grant] = agent.take()
    assert (grant.id, grant.attempt, grant.cpus, grant.time_limit_s) == (job, 1, 2, 60.0)
    assert agent.sync().start == ()
    assert served.state(job) == "launching"
    agent.starts(grant)
    agent.saves(grant, step=7)
    agent.sync()
    assert (served.state(job), served.json("GET", f"/v1/jobs/{job}")["step"]) == ("running", 7)
    agent.ends(grant, exit_code=0, metrics={"loss": 0.5})
    assert [gone.uid for gone in agent.sync().forget] == [grant.uid]
    page = served.json("GET", f"/v1/jobs/{job}")
    assert (page["state"], page["exit_code"], page["metrics"]) == ("succeeded", 0, {"loss": 0.5})
    assert agent.attempts == {}


def test_a_lost_answer_is_given_again(served: Served) -> None:
    agent = FakeAgent(served)
    served.submit()
    [grant] = agent.take()
    agent.attempts.clear()
    assert agent.sync().start == (grant,)


def test_reports_said_twice_and_late_do_no_harm(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    [grant] = agent.take()
    agent.starts(grant)
    agent.sync()
    agent.sync()
    before = len(served.json("GET", f"/v1/jobs/{job}/events")["events"])
    agent.sequence = 0
    late = dict(agent.attempts)
    agent.attempts.clear()
    agent.sync()
    assert (served.state(job), len(served.json("GET", f"/v1/jobs/{job}/events")["events"])) == ("running", before)
    agent.attempts, agent.sequence = late, 100
    assert not agent.sync().stop


def test_a_waiting_request_is_answered_when_a_job_comes(served: Served) -> None:
    agent = FakeAgent(served)
    agent.sync()
    waiting: list[SyncAnswer] = []
    thread = threading.Thread(target=lambda: waiting.append(agent.sync(wait_s=MAX_WAIT_S)))
    thread.start()
    [job] = served.submit()
    thread.join(DEADLINE_S)
    assert [grant.id for grant in waiting[0].start] == [job]


def test_what_is_cancelled_saves_first_unless_it_may_not(served: Served) -> None:
    agent = FakeAgent(served)
    jobs = served.submit({}, {}, {})
    grants = {grant.id: grant for grant in agent.take(3)}
    for grant in grants.values():
        agent.starts(grant)
    agent.sync()
    gentle, hard, held = jobs
    served.json("POST", f"/v1/jobs/{gentle}/cancel")
    served.json("POST", f"/v1/jobs/{hard}/cancel", {"now": True})
    served.json("POST", f"/v1/jobs/{held}/hold")
    wait_until(lambda: agent.sync(wait_s=0.5) and len(agent.stops) == 3)
    assert [agent.stops[grants[job].uid, 1] for job in jobs] == [False, True, False]
    agent.ends(grants[gentle], "interrupted", exit_code=75)
    agent.ends(grants[hard], "failed", exit_code=-9, cause=Cause.USER_CODE)
    agent.ends(grants[held], "failed", exit_code=-15, cause=Cause.USER_CODE)
    agent.sync()
    assert [served.state(job) for job in jobs] == ["cancelled", "cancelled", "held"]


def test_failures_are_retried_within_the_budget_of_their_cause(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = FakeAgent(served)
    monkeypatch.setattr(outcomes, "RETRIES", {**outcomes.RETRIES, Cause.OUT_OF_MEMORY: outcomes.RetryRule(0)})
    [job] = served.submit({"retries": {"out_of_memory": 1}})
    fence = 0
    for attempt, state in [(1, "queued"), (2, "failed")]:
        [grant] = agent.take()
        assert (grant.attempt, grant.fence > fence) == (attempt, True)
        fence = grant.fence
        agent.ends(grant, "failed", exit_code=137, cause=Cause.OUT_OF_MEMORY, message="killed")
        agent.sync()
        assert served.outcomes(job)[attempt - 1] == state
    page = served.json("GET", f"/v1/jobs/{job}")
    assert (page["cause"], page["message"], len(page["attempts"])) == ("out_of_memory", "killed", 2)


def test_a_requeue_gives_a_job_its_budgets_anew(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit({"retries": {"out_of_memory": 1}})
    for _ in range(3):
        [grant] = agent.take()
        agent.ends(grant, "failed", exit_code=137, cause=Cause.OUT_OF_MEMORY)
        agent.sync()
        assert served.state(job) == "queued"
        assert served.json("GET", f"/v1/jobs/{job}")["eligible_s"] > 0
        served.json("POST", f"/v1/jobs/{job}/cancel")
        served.json("POST", f"/v1/jobs/{job}/requeue")


def test_leaving_with_75_is_free_after_a_save_and_has_a_budget_without(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    [grant] = agent.take()
    agent.starts(grant)
    agent.saves(grant, step=1)
    agent.ends(grant, "interrupted", exit_code=75)
    agent.sync()
    [grant] = agent.take()
    agent.starts(grant)
    agent.ends(grant, "interrupted", exit_code=75)
    agent.sync()
    page = served.json("GET", f"/v1/jobs/{job}")
    assert [one["cause"] for one in page["attempts"]] == ["preemption", "no_progress"]
    assert page["eligible_s"] - page["attempts"][1]["ended_s"] == pytest.approx(5.0)


def test_an_attempt_with_an_old_fence_is_stopped_and_forgotten(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    [old] = agent.take()
    agent.ends(old, "failed", cause=Cause.INFRASTRUCTURE)
    report = dict(agent.attempts)
    agent.sync()
    served.json("POST", f"/v1/jobs/{job}/cancel")
    agent.attempts = report
    answer = agent.sync()
    assert [gone.uid for gone in answer.forget] == [old.uid]
    agent.attempts = {(old.uid, 1): _running(old)}
    assert [(stop.uid, stop.now) for stop in agent.sync().stop] == [(old.uid, True)]


def _running(grant: Grant) -> AttemptStatus:
    return AttemptStatus(uid=grant.uid, attempt=grant.attempt, fence=grant.fence, started_s=1.0)


def test_silence_makes_jobs_unknown_and_a_voice_adopts_them(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    [grant] = agent.take()
    agent.starts(grant)
    agent.sync()
    monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", -1.0)
    served.service._record_silences()
    assert served.state(job) == "unknown"
    agent.sync()
    assert served.state(job) == "running"
    served.service._record_silences()
    monkeypatch.setattr(agent_desk, "LOST_AFTER_S", -1.0)
    served.service._record_silences()
    attempts = served.json("GET", f"/v1/jobs/{job}/attempts")["attempts"]
    assert (attempts[0]["outcome"], attempts[0]["cause"]) == ("queued", "infrastructure")
    assert "silent" in attempts[0]["message"]


def test_silences_are_looked_for_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", -1.0)
    with serving(tmp_path, silence_check_s=0.01) as served:
        [job] = served.submit()
        FakeAgent(served).take()
        wait_until(lambda: served.state(job) == "unknown")


def test_an_agent_that_lost_its_folder_loses_its_attempts(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    [grant] = agent.take()
    agent.starts(grant)
    agent.sync()
    agent.attempts.clear()
    agent.sync()
    [attempt] = served.json("GET", f"/v1/jobs/{job}/attempts")["attempts"]
    assert (attempt["outcome"], "does not have it" in attempt["message"]) == ("queued", True)


def test_what_ended_while_the_controller_was_away_is_told_later(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        agent = FakeAgent(served)
        [job] = served.submit()
        [grant] = agent.take()
        agent.starts(grant)
        queue = agent.sync().queue
    agent.ends(grant, "failed", exit_code=3, cause=Cause.USER_CODE, message="exit code 3")
    with serving(tmp_path) as served:
        agent.served = served
        assert agent.sync().queue == queue
        assert (served.state(job), agent.attempts) == ("failed", {})


def test_a_log_comes_from_the_agent_in_whole_characters(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    assert served.json("GET", f"/v1/jobs/{job}/logs")["size_bytes"] is None
    [grant] = agent.take()
    agent.starts(grant)
    agent.sync()
    data = "naïve 🌍".encode()
    answers: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: answers.append(served.json("GET", f"/v1/jobs/{job}/logs?offset=2")))
    thread.start()
    wanted = wait_until(lambda: agent.sync(wait_s=1.0).log_requests)[0]
    assert (wanted.uid, wanted.rank, wanted.offset) == (grant.uid, 0, 2)
    agent.chunks = [LogChunk(key=wanted.key, offset=2, data=data[2:-1], size_bytes=len(data))]
    agent.sync()
    thread.join(DEADLINE_S)
    assert answers[0] == {
        "text": "ïve ", "next_offset": len(data) - 4, "size_bytes": len(data), "is_over": False, "attempt": 1,
    }  # fmt: skip


def test_a_log_of_a_silent_agent_is_an_error_and_not_an_empty_text(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = FakeAgent(served)
    [job] = served.submit()
    agent.take()
    monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", -1.0)
    answer = served.call("GET", f"/v1/jobs/{job}/logs")
    assert (answer.status_code, "silent" in answer.text) == (502, True)


def test_nodes_that_change_are_noted(served: Served) -> None:
    FakeAgent(served, nodes=1).sync()
    bigger = FakeAgent(served, nodes=3)
    bigger.sequence = 10
    bigger.sync()
    [pool] = served.json("GET", "/v1/pools")["pools"]
    assert [node["name"] for node in pool["nodes"]] == ["local-0", "local-1", "local-2"]


def test_a_time_limit_is_changed_where_the_job_runs(served: Served) -> None:
    agent = FakeAgent(served)
    [job] = served.submit({"time_limit_s": 60})
    [grant] = agent.take()
    agent.starts(grant)
    assert agent.sync().limit == ()
    served.json("POST", f"/v1/jobs/{job}/set", {"time_limit_s": 3})
    [order] = wait_until(lambda: agent.sync(wait_s=0.5).limit)
    assert (order.uid, order.attempt, order.time_limit_s) == (grant.uid, 1, 3.0)
    assert agent.sync().limit == ()


def test_an_agent_of_another_queue_is_refused_and_its_jobs_are_not_taken_for_ours(
    tmp_path: Path, served: Served
) -> None:
    agent = FakeAgent(served)
    served.submit({"name": "ours"})
    grant = agent.take()[0]
    with serving(tmp_path / "other") as other:
        theirs = FakeAgent(other)
        other.submit({"name": "theirs"})
        same = theirs.take()[0]
        assert (same.uid, same.attempt) == (grant.uid, grant.attempt)
        queue = theirs.sync().queue
        theirs.ends(same)
        # The agent of the other queue comes to us, as when a database was replaced behind the same address.
        request = SyncRequest(
            agent="agent-local",
            sequence=10**6,
            wait_s=0.0,
            nodes=theirs.nodes,
            attempts=tuple(theirs.attempts.values()),
            queue=queue,
        )
        answer = served.call("POST", "/v1/pools/local/sync", request.to_json(), token=AGENT)
    assert (answer.status_code, "another queue" in answer.text) == (409, True)
    assert served.state(grant.id) == "launching"
    assert not agent.sync().stop


def test_an_agent_is_told_whether_the_job_is_over_or_only_the_attempt(served: Served) -> None:
    agent = FakeAgent(served)
    job, held = served.submit({}, {})
    first, second = agent.take(2)
    agent.starts(first)
    agent.starts(second)
    agent.sync()
    served.json("POST", f"/v1/jobs/{held}/hold")
    agent.sync()
    agent.ends(first)
    agent.ends(second, state="interrupted")
    told: set[tuple[int, bool]] = set()

    def hears_of_both() -> bool:
        told.update((gone.uid, gone.is_over) for gone in agent.sync().forget)
        return len(told) == 2

    wait_until(hears_of_both)
    assert told == {(first.uid, True), (second.uid, False)}
    assert (served.state(job), served.state(held)) == ("succeeded", "held")


def test_a_time_limit_ends_nothing_that_nobody_can_see(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner beside the program ends it; a controller that hears nothing does not know when it began to."""
    agent = FakeAgent(served)
    [job] = served.submit({"time_limit_s": 0.01})
    [grant] = agent.take()
    agent.starts(grant)
    agent.sync()
    monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", 0.0)
    served.service._record_silences()
    assert served.state(job) == "unknown"
    served.service._record_silences()
    assert served.state(job) == "unknown", "the limit has passed, and it is no outcome"
    monkeypatch.undo()
    agent.ends(grant, state="failed", cause=Cause.TIME_LIMIT)
    agent.sync()
    assert (served.state(job), served.json("GET", f"/v1/jobs/{job}")["cause"]) == ("failed", "time_limit")
