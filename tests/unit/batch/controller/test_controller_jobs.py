"""Jobs, sweeps, teams and the journal, as people meet them over HTTP."""

import json
import threading
from pathlib import Path

import pytest
from fixtures_controller import DEADLINE_S, OPERATOR, FakeAgent, Served, serving, wait_until

from batch.client import Client
from batch.state_folder import Address


def test_a_submitted_job_is_there(served: Served) -> None:
    [job] = served.submit({"name": "first", "shape": {"cpus": 2, "labels": {"zone": "a"}}, "retries": {"user_code": 1}})
    page = served.json("GET", f"/v1/jobs/{job[:5]}")
    assert (page["id"], page["name"], page["state"], page["cpus"]) == (job, "first", "queued", 2)
    assert page["spec"]["shape"] == {"cpus": 2, "labels": [["zone", "a"]]}
    assert served.json("GET", "/v1/jobs/first")["uid"] == page["uid"]
    assert [row["id"] for row in served.json("GET", "/v1/jobs?state=queued&name=first")["jobs"]] == [job]
    assert served.json("GET", "/v1/jobs?team=other") == {"jobs": [], "sweeps": []}
    assert [event["event"] for event in served.json("GET", f"/v1/jobs/{job}/events")["events"]] == ["JobSubmitted"]


def test_an_idempotency_key_makes_nothing_twice(served: Served) -> None:
    body = [{"kind": "command", "payload": {"command": ["true"]}}]
    first = served.json("POST", "/v1/jobs", body, Idempotency_Key="k")
    assert served.json("POST", "/v1/jobs", body, Idempotency_Key="k") == first
    other = served.call("POST", "/v1/jobs", [{**body[0], "name": "x"}], Idempotency_Key="k")
    assert (other.status_code, other.json()["error"]["type"]) == (409, "ConflictError")


def test_what_people_do_to_jobs(served: Served) -> None:
    [job] = served.submit()
    for verb, state in [("hold", "held"), ("release", "queued"), ("cancel", "cancelled"), ("requeue", "queued")]:
        assert served.json("POST", f"/v1/jobs/{job}/{verb}")["state"] == state
    page = served.json("POST", f"/v1/jobs/{job}/set", {"tier": "flex", "time_limit_s": 60})
    assert (page["tier"], page["spec"]["time_limit_s"]) == ("flex", 60.0)
    again = served.call("POST", f"/v1/jobs/{job}/release")
    assert (again.status_code, again.json()["error"]["type"]) == (409, "ConflictError")


def test_jobs_wait_for_jobs_of_the_same_request(served: Served) -> None:
    [first, second] = served.submit({"name": "a"}, {"after": [{"index": 0}]})
    [third] = served.submit({"after": [{"job": first, "ok": False}]})
    assert (served.state(second), served.state(third)) == ("blocked", "blocked")
    served.json("POST", f"/v1/jobs/{first}/cancel")
    assert wait_until(lambda: served.state(third) == "queued")
    assert served.state(second) != "queued"


def test_a_sweep_is_one_record_and_members_have_ids(served: Served) -> None:
    template = {"kind": "command", "payload": {"command": ["true"]}}
    body = {"template": template, "axes": [["lr", ["1", "2"]], ["seed", ["0", "1", "2"]]], "max_running": 2}
    sweep = served.json("POST", "/v1/sweeps", body)
    assert (sweep["members"], sweep["counts"]) == (6, {"queued": 6})
    assert served.json("POST", "/v1/sweeps", body)["id"] == sweep["id"]
    member = served.json("GET", f"/v1/jobs/{sweep['id']}.4")
    assert (member["overrides"], member["sweep"]) == (["lr=2", "seed=1"], sweep["id"])
    agent = FakeAgent(served)
    grants = agent.take(2)
    assert [grant.payload["overrides"] for grant in grants] == [["lr=1", "seed=0"], ["lr=1", "seed=1"]]
    assert served.json("POST", f"/v1/jobs/{sweep['id']}/cancel")["counts"] == {"cancelled": 4, "stopping": 2}
    assert len(served.json("GET", f"/v1/jobs?sweep={sweep['id']}&state=stopping")["jobs"]) == 2


def test_teams_pools_and_shares(served: Served) -> None:
    assert served.json("PUT", "/v1/teams/vision", {"weight": 2.0, "quota": 1})["quota"] == 1
    assert served.json("PUT", "/v1/teams/vision", {"quota": -1}) == {
        "name": "vision", "weight": 2.0, "quota": None, "max_queued": None,
    }  # fmt: skip
    agent = FakeAgent(served)
    agent.sync()
    assert served.json("POST", "/v1/pools/local/drain")["drained"]
    [job] = served.submit({"team": "vision"})
    assert agent.sync(wait_s=0.3).start == ()
    why = served.json("GET", f"/v1/jobs/{job}/why")["why"]
    assert why["reason"]["code"] == "drained"
    served.json("POST", "/v1/pools/local/drain", {"drained": False})
    assert agent.take()[0].id == job
    rows = served.json("GET", "/v1/fairshare")["teams"]
    assert [row["used_chips"] for row in rows if row["team"] == "vision"] == [1.0]


def test_why_says_what_binds_and_who_is_ahead(served: Served) -> None:
    agent = FakeAgent(served, cpus=2)
    agent.sync()
    [running] = served.submit({"shape": {"cpus": 2}})
    agent.take()
    [second, first] = served.submit({"shape": {"cpus": 2}}, {"shape": {"cpus": 2}, "tier": "interactive"})
    why = served.json("GET", f"/v1/jobs/{second}/why")["why"]
    assert (why["reason"]["code"], why["reason"]["need"], why["place"]) == ("chips", 2, 2)
    assert (why["ahead"], why["used_chips"]) == ([first], 2.0)
    assert served.json("GET", f"/v1/jobs/{running}/why")["job"]["state"] == "launching"


def test_the_journal_can_be_followed(served: Served) -> None:
    served.submit()
    rows = served.json("GET", "/v1/events?after=1")["events"]
    assert [row["event"] for row in rows] == ["JobSubmitted"]
    assert served.json("GET", f"/v1/events?after={rows[-1]['seq']}")["events"] == []


def test_the_journal_can_be_followed_as_it_grows(served: Served) -> None:
    seen = []

    def follow() -> None:
        with Client(Address(served.url, OPERATOR)) as client:
            for event in client.follow_events(after=0):
                seen.append(event["event"])
                if seen.count("JobSubmitted") == 2:
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    served.submit()
    wait_until(lambda: "JobSubmitted" in seen)
    served.submit()
    thread.join(DEADLINE_S)
    assert seen == ["TeamSet", "JobSubmitted", "JobSubmitted"]


def test_health_needs_no_token_and_the_description_has_every_route(served: Served) -> None:
    assert served.call("GET", "/v1/health", token=None).json()["status"] == "ok"
    paths = served.call("GET", "/v1/openapi.json", token=None).json()["paths"]
    assert set(paths["/v1/jobs"]) == {"get", "post"}
    assert paths["/v1/jobs"]["post"]["requestBody"]["required"]
    for path in ("/v1/sweeps", "/v1/jobs/{job}/why", "/v1/pools/{pool}/sync", "/v1/tokens", "/v1/events"):
        assert path in paths, path
    assert all(operation["summary"] for path in paths.values() for operation in path.values())


def test_a_controller_that_is_started_again_knows_everything(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        agent = FakeAgent(served)
        [job] = served.submit({"name": "kept"})
        [grant] = agent.take()
        agent.starts(grant)
        agent.sync()
        [waiting] = served.submit({"shape": {"cpus": 4}})
    with serving(tmp_path) as served:
        agent.served = served
        assert (served.state(job), served.state(waiting)) == ("running", "queued")
        agent.ends(grant)
        agent.sync()
        assert served.state(job) == "succeeded"
        assert agent.take()[0].id == waiting


@pytest.mark.parametrize("path", ["/v1/jobs/zzzzzzz", "/v1/jobs/zzzzzzz/why", "/v1/sweeps/none", "/v1/nothing"])
def test_what_is_not_there_is_404_with_words(served: Served, path: str) -> None:
    answer = served.call("GET", path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "NotFoundError")
    assert json.loads(answer.text)["error"]["message"]
