"""The journal of a live controller, decided again by the simulator's function: the same decisions, every one."""

import random

from fixtures_controller import FakeAgent, Served

from batch.events import JobPlaced, JobStopping
from batch.simulator import redecide

TIERS = ("interactive", "standard", "flex")


def test_a_live_journal_decided_again_comes_out_the_same(served: Served) -> None:
    generator = random.Random(7)
    for team, weight in (("vision", 2.0), ("text", 1.0)):
        served.json("PUT", f"/v1/teams/{team}", {"weight": weight})
    agent = FakeAgent(served, nodes=2, cpus=4)
    agent.sync()
    submitted = 0
    while submitted < 60 or agent.attempts or not _all_succeeded(served):
        for _ in range(generator.randrange(0, 5) if submitted < 60 else 0):
            shape = generator.choice([{"cpus": 1}, {"cpus": 3}, {"nodes": 2, "cpus": 2}])
            tier, team = generator.choice(TIERS), generator.choice(["vision", "text"])
            served.submit({"shape": shape, "tier": tier, "team": team})
            submitted += 1
        for key, grant in list(agent.grants.items()):
            if key not in agent.attempts:
                continue
            if key in agent.stops:
                agent.ends(grant, state="interrupted", exit_code=75)
            elif agent.attempts[key].started_s is None:
                agent.starts(grant)
            elif generator.random() < 0.4:
                agent.ends(grant, exit_code=0)
        agent.sync(wait_s=0.02)
    journal = served.service.queue.events(after=0, limit=100_000)
    count, divergences = redecide(journal)
    assert divergences == ()
    decided = [event for _, event in journal if isinstance(event, JobPlaced | JobStopping) and event.basis]
    assert len(decided) >= 60
    assert 10 <= count <= len(decided)


def _all_succeeded(served: Served) -> bool:
    return {job["state"] for job in served.json("GET", "/v1/jobs?limit=100")["jobs"]} == {"succeeded"}
