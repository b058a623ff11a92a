"""Interrupted and resumed equals uninterrupted, bit for bit: the promise of the whole house."""

import pytest

from tests.cluster.conftest import MakePlan
from tests.cluster.runs import Ran, final_state, random_kills, train

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
STEPS = 60


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_two_random_kills_change_no_loss_and_no_weight(zero_stage: int, make_plan: MakePlan) -> None:
    overrides = ["cluster.workers=2", f"engine=zero{zero_stage}", f"run.steps={STEPS}", "checkpoint.every_steps=10"]
    undisturbed_plan, killed_plan = make_plan("undisturbed", *overrides), make_plan("killed", *overrides)
    undisturbed = train(undisturbed_plan)
    killed = train(killed_plan, random_kills(zero_stage, count=2, ranks=2, steps=STEPS))

    assert [undisturbed.outcome.state, killed.outcome.state] == ["finished", "finished"]
    assert len(killed.named("recovered")) == 2
    assert list(undisturbed.losses) == list(range(1, STEPS + 1))
    assert killed.losses == undisturbed.losses
    state, expected = final_state(killed_plan), final_state(undisturbed_plan)
    assert {kind for _, kind in expected} == {"fp32", "exp_avg", "exp_avg_sq"}
    assert state == expected
    _assert_little_was_lost(killed)


def _assert_little_was_lost(killed: Ran) -> None:
    """The sealed slots outlive the worker: at most the step that was under way when it died is done again."""
    assert all(event["origin"] == "slot" for event in killed.named("restored"))
    assert all(event["steps_lost"] <= 1 for event in killed.named("recovered"))
