"""An event that the scheduler cannot take in, by a defect of ours: said as long as it matters, and no longer."""

import pytest
from fixtures_controller import Served, wait_until

from batch.scheduler.state import SchedulerState


def test_health_says_that_an_event_was_missed_until_a_restart(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = SchedulerState.apply

    def fail(state: SchedulerState, event: object) -> None:
        monkeypatch.setattr(SchedulerState, "apply", apply)
        raise KeyError(17)

    monkeypatch.setattr(SchedulerState, "apply", fail)
    served.submit({"held": True})
    loop = served.service.scheduling
    wait_until(lambda: loop.failure is not None and "started again" in loop.failure)
    served.submit({"held": True})
    wait_until(lambda: loop.ask(lambda state, _: len(state.roster.jobs)) == 1)
    health = served.json("GET", "/v1/health")
    assert (health["status"], "KeyError: 17, in event" in health["failure"]) == ("degraded", True)
