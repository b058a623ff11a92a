"""A pool has one agent: another is refused while that one lives, and what people say of a pool is not lost."""

import threading
from pathlib import Path

import pytest
from fixtures_controller import AGENT, DEADLINE_S, FakeAgent, Reply, Served, serving, wait_until

from batch.agent.messages import Grant, SyncRequest
from batch.controller import agent_desk
from batch.model import Node


@pytest.fixture
def first(served: Served) -> FakeAgent:
    return FakeAgent(served)


@pytest.fixture
def second(served: Served) -> FakeAgent:
    return another(served)


@pytest.fixture
def running(served: Served, first: FakeAgent) -> Grant:
    """An attempt that runs at the first agent."""
    served.submit()
    [grant] = first.take()
    first.starts(grant)
    first.sync()
    return grant


def another(served: Served) -> FakeAgent:
    agent = FakeAgent(served)
    agent.name = "another"
    return agent


def asks(agent: FakeAgent) -> Reply:
    request = SyncRequest(agent=agent.name, sequence=1, wait_s=0.0, nodes=agent.nodes)
    return agent.served.call("POST", f"/v1/pools/{agent.pool}/sync", request.to_json(), token=AGENT)


def test_another_agent_is_refused_and_the_first_goes_on(
    served: Served, first: FakeAgent, second: FakeAgent, running: Grant
) -> None:
    for _ in range(3):
        answer = asks(second)
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "PoolTakenError")
        assert not first.sync().stop
    assert "--take-over" in answer.text
    assert served.state(running.id) == "running"
    assert len(served.json("GET", f"/v1/jobs/{running.id}/attempts")["attempts"]) == 1


def test_also_when_the_controller_has_restarted_and_the_other_one_speaks_first(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        first = FakeAgent(served)
        served.submit()
        [grant] = first.take()
    with serving(tmp_path) as served:
        first.served = served
        assert asks(another(served)).status_code == 409
        first.starts(grant)
        first.sync()
        assert served.state(grant.id) == "running"


def test_an_agent_that_is_silent_loses_its_place(
    served: Served, second: FakeAgent, running: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_desk, "SILENT_AFTER_S", -1.0)
    second.sync()
    assert served.outcomes(running.id)[0] == "queued"


def test_who_has_lost_its_place_ends_what_it_runs_and_is_refused(
    served: Served, first: FakeAgent, second: FakeAgent, running: Grant
) -> None:
    second.takes_over = True
    second.sync()
    second.takes_over = False
    assert served.outcomes(running.id)[0] == "queued"
    answer = first.sync()
    assert [(stop.uid, stop.now) for stop in answer.stop] == [(running.uid, True)]
    assert not answer.start
    first.ends(running, "interrupted")
    assert [gone.uid for gone in first.sync().forget] == [running.uid]
    assert asks(first).json()["error"]["type"] == "PoolTakenError"
    assert second.take()[0].uid == running.uid


def test_a_request_that_waits_while_its_agent_loses_the_place_gets_no_work(
    served: Served, first: FakeAgent, second: FakeAgent
) -> None:
    first.sync()
    refused: list[Exception] = []

    def waits() -> None:
        try:
            first.sync(wait_s=15.0)
        except AssertionError as error:  # the answer was no success
            refused.append(error)

    thread = threading.Thread(target=waits)
    thread.start()
    wait_until(lambda: served.service.desk._agents["local"].sequence == 2)
    second.takes_over = True
    second.sync()
    served.submit()
    [grant] = second.take()
    thread.join(DEADLINE_S)
    assert "PoolTakenError" in str(refused[0])
    assert (first.grants, list(second.grants)) == ({}, [(grant.uid, 1)])


def test_an_agent_that_was_started_for_the_wrong_pool_loses_nothing(
    served: Served, first: FakeAgent, running: Grant
) -> None:
    other = FakeAgent(served, pool="other")
    other.name = "of the other pool"
    other.sync()
    first.pool = "other"
    request = SyncRequest(
        agent=first.name, sequence=99, wait_s=0.0, nodes=first.nodes, attempts=tuple(first.attempts.values())
    )
    answer = served.call("POST", "/v1/pools/other/sync", request.to_json(), token=AGENT)
    assert answer.status_code == 409
    assert served.state(running.id) == "running"


def test_a_drain_is_not_lost_when_nodes_come_at_that_moment(
    served: Served, first: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.sync()
    seen = served.service.queue.pools()
    served.json("POST", "/v1/pools/local/drain")
    with monkeypatch.context() as patch:
        patch.setattr(served.service.queue, "pools", lambda: seen)  # the look was just before the drain
        first.nodes = (*first.nodes, Node("one more", 0, 4))
        first.sync()
    [pool] = served.json("GET", "/v1/pools")["pools"]
    assert (pool["drained"], len(pool["nodes"])) == (True, 2)
    assert served.call("POST", "/v1/pools/moon/drain").status_code == 404
