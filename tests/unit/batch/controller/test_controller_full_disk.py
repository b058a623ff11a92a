"""A full disk, as submitters and agents see it: clear words, nothing lost, and on it goes without a restart."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from fixtures_controller import FakeAgent, Served, serving, wait_until
from fixtures_small_disk import MakeTmpfs, make_tmpfs

from batch.agent.messages import SyncRequest
from batch.client import Client
from batch.errors import StoreFullError
from batch.state_folder import Address

__all__ = ["make_tmpfs"]
_LARGE = {"name": "large", "payload": {"command": ["true", "x" * 50_000]}}


def test_a_full_disk_is_said_and_outlived(make_tmpfs: MakeTmpfs) -> None:
    folder = make_tmpfs("disk", 8 * 2**20)
    with serving(folder) as served:
        agent = FakeAgent(served)
        agent.sync()
        running = served.submit({"name": "runs"})
        grant = agent.take()[0]
        agent.starts(grant)
        agent.sync()
        held = served.submit({"held": True})
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(5 * 2**20))
        acknowledged = _submitted_until_full(served)
        _says_what_to_do(served, folder)
        # An end that cannot be written is not forgotten by the agent, nor is anything stopped.
        agent.ends(grant, message="x" * 60_000)
        refused = served.call("POST", "/v1/pools/local/sync", _report(agent), token="ost_agent")
        assert refused.status_code == 507
        assert served.state(running[0]) == "running", "reading goes on"
        assert not agent.stops
        ballast.unlink()
        wait_until(lambda: agent.sync() and served.state(running[0]) == "succeeded")
        assert (grant.uid, grant.attempt) not in agent.attempts, "and now it is"
        after = served.submit({"name": "after"})
        known = {job["id"] for job in served.json("GET", "/v1/jobs?limit=1000")["jobs"]}
        assert known == {*running, *held, *acknowledged, *after}
        wait_until(lambda: served.json("GET", "/v1/health")["status"] == "ok")
    with serving(folder) as served:
        assert {job["id"] for job in served.json("GET", "/v1/jobs?limit=1000")["jobs"]} == known


def _submitted_until_full(served: Served) -> list[str]:
    """Submit until it is refused; return what was acknowledged."""
    acknowledged: list[str] = []
    for _ in range(200):
        answer = served.call("POST", "/v1/jobs", [{"kind": "command", **_LARGE, "held": True}])
        if answer.status_code != 201:
            assert answer.status_code == 507, answer.text
            return acknowledged
        acknowledged += [job["id"] for job in answer.json()["jobs"]]
    raise AssertionError("3 MiB hold 200 jobs of 50 kB")


def _says_what_to_do(served: Served, folder: Path) -> None:
    client = Client(Address(served.url, "ost_operator"))
    with contextlib.closing(client), pytest.raises(StoreFullError, match="make room and ask again") as told:
        client.submit([{"kind": "command", **_LARGE, "held": True}])
    assert str(folder / "queue.db") in str(told.value)


def _report(agent: FakeAgent) -> dict[str, Any]:
    """Return what the agent would send next."""
    agent.sequence += 1
    return SyncRequest(
        agent=f"agent-{agent.pool}",
        sequence=agent.sequence,
        wait_s=0.0,
        nodes=agent.nodes,
        attempts=tuple(agent.attempts.values()),
    ).to_json()
