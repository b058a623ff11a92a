"""What is submitted after a restart may depend on what was over before it, which nothing else reminds of."""

from pathlib import Path

from fixtures_controller import FakeAgent, serving


def test_what_was_cancelled_or_done_before_a_restart_is_known_when_somebody_depends_on_it(tmp_path: Path) -> None:
    template = {"kind": "command", "payload": {"command": ["true"]}}
    sweep = {"template": template, "axes": [["a", ["1", "2"]]]}
    with serving(tmp_path) as served:
        [cancelled, done] = served.submit({"held": True}, {"held": True})
        swept = served.json("POST", "/v1/sweeps", {**sweep, "template": {**template, "held": True}})["id"]
        for job in (cancelled, swept):
            served.json("POST", f"/v1/jobs/{job}/cancel", {})
        agent = FakeAgent(served)
        agent.sync()
        served.json("POST", f"/v1/jobs/{done}/release", {})
        [grant] = agent.take()
        agent.ends(grant)
        agent.sync()
    with serving(tmp_path) as served:
        agent.served, agent.attempts = served, {}
        never = [served.submit({"after": [{"job": job}]})[0] for job in (cancelled, swept)]
        [after] = served.submit({"after": [{"job": done}, {"job": cancelled, "ok": False}]})
        [grant] = agent.take()
        assert grant.id == after
        for job in never:
            assert served.json("GET", f"/v1/jobs/{job}/why")["why"]["reason"]["code"] == "dependency_failed"
        assert agent.sync().start == ()


def test_a_sweep_that_was_over_before_a_restart_runs_again_within_its_limit(tmp_path: Path) -> None:
    template = {"kind": "command", "payload": {"command": ["true"]}, "held": True}
    sweep = {"template": template, "axes": [["a", ["1", "2", "3"]]], "max_running": 1}
    with serving(tmp_path) as served:
        swept = served.json("POST", "/v1/sweeps", sweep)["id"]
        served.json("POST", f"/v1/jobs/{swept}/cancel", {})
    with serving(tmp_path) as served:
        agent = FakeAgent(served)
        agent.sync()
        served.json("POST", f"/v1/jobs/{swept}/requeue", {})
        [after] = served.submit({"after": [{"job": swept}]})
        for number in range(3):
            [grant] = agent.take()
            assert grant.id == f"{swept}.{number}"
            why = served.json("GET", f"/v1/jobs/{after}/why")["why"]
            assert (why["reason"]["code"], len(agent.attempts)) == ("dependency", 1)
            agent.ends(grant)
            agent.sync()
            agent.sync()
        [grant] = agent.take()
        assert grant.id == after


def test_what_was_changed_of_one_member_holds_when_its_sweep_runs_again_after_a_restart(tmp_path: Path) -> None:
    template = {"kind": "command", "payload": {"command": ["true"]}, "held": True}
    with serving(tmp_path) as served:
        swept = served.json("POST", "/v1/sweeps", {"template": template, "axes": [["a", ["1", "2"]]]})["id"]
        served.json("POST", f"/v1/jobs/{swept}.0/set", {"tier": "flex"})
        served.json("POST", f"/v1/jobs/{swept}/cancel", {})
    with serving(tmp_path) as served:
        agent = FakeAgent(served, nodes=1, cpus=1)
        agent.sync()
        served.json("POST", f"/v1/jobs/{swept}/requeue", {})
        [grant] = agent.take()
        assert grant.id == f"{swept}.1"
