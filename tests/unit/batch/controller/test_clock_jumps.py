"""The machine's clock a year ahead and back, under a controller that serves: nothing is lost, late or held up by it."""

import time
from pathlib import Path

import pytest
from fixtures_controller import FakeAgent, serving

from batch.controller.outcomes import RETRIES, RetryRule
from batch.model import Cause

YEAR_S = 365 * 86_400.0


@pytest.mark.parametrize("jumps", [(YEAR_S, 0.0), (-YEAR_S, 0.0), (3_600.0, -3_600.0)])
def test_what_failed_is_tried_again_after_its_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jumps: tuple[float, float]
) -> None:
    monkeypatch.setitem(RETRIES, Cause.INFRASTRUCTURE, RetryRule(10, first_s=0.5))
    ahead_s = 0.0
    with serving(tmp_path, clock=lambda: time.time() + ahead_s) as served:
        agent = FakeAgent(served)
        [job] = served.submit({})
        [grant] = agent.take()
        agent.starts(grant)
        agent.sync()
        ahead_s = jumps[0]
        agent.ends(grant, "failed", cause=Cause.INFRASTRUCTURE)
        agent.sync()
        ahead_s = jumps[1]
        [again] = agent.take()
        assert (again.attempt, again.fence > grant.fence) == (2, True)
        agent.ends(again)
        agent.sync()
        assert served.state(job) == "succeeded"


def test_a_token_expires_by_the_clock_and_is_good_again_when_that_was_wrong(tmp_path: Path) -> None:
    ahead_s = 0.0
    with serving(tmp_path, clock=lambda: time.time() + ahead_s) as served:
        body = {"name": "mia", "role": "submitter", "expires_s": time.time() + 3_600.0}
        token = served.json("POST", "/v1/tokens", body)["token"]
        ahead_s = YEAR_S
        assert served.call("GET", "/v1/jobs", token=token).status_code == 403
        served.submit({})
        ahead_s = 0.0
        assert served.call("GET", "/v1/jobs", token=token).status_code == 200
