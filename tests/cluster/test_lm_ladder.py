"""A language model under the trainer: interrupted equals uninterrupted, and what changes no loss."""

import pytest

from tests.cluster.conftest import MakePlan
from tests.cluster.runs import final_state, random_kills, train

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
STEPS = 40
LM = (
    "recipe=lm_ladder", "model=lm_10k", "data.locales=[en,ja]", "data.sequence_length=32", "run.global_batch=8",
    "optim.warmup_steps=5", "checkpoint.every_steps=10", "recipe.measure_all=false", "data.heldout_bytes=4000",
)  # fmt: skip


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("zero_stage", [1, pytest.param(2, marks=pytest.mark.long), 3])
def test_killed_and_resumed_equals_undisturbed(zero_stage: int, make_plan: MakePlan) -> None:
    overrides = [*LM, "cluster.workers=2", f"engine=zero{zero_stage}", f"run.steps={STEPS}"]
    undisturbed_plan, killed_plan = make_plan("undisturbed", *overrides), make_plan("killed", *overrides)
    undisturbed = train(undisturbed_plan)
    killed = train(killed_plan, random_kills(zero_stage, count=1, ranks=2, steps=STEPS))
    assert len(killed.named("recovered")) == 1
    assert killed.losses == undisturbed.losses
    assert list(undisturbed.losses) == list(range(1, STEPS + 1))
    assert final_state(killed_plan) == final_state(undisturbed_plan)
    loss = "heldout/nats_per_byte"
    assert killed.outcome.metrics[loss] == undisturbed.outcome.metrics[loss] < undisturbed.losses[1]
    assert undisturbed.outcome.metrics["run/peak_memory_bytes"] > 2**20
    assert undisturbed.outcome.metrics["run/samples_per_s"] > 0


@pytest.mark.usefixtures("one_ray")
def test_accumulation_and_recomputation_change_losses_by_rounding_only(make_plan: MakePlan) -> None:
    plain = train(make_plan("plain", *LM, "run.steps=10"))
    other = train(
        make_plan("other", *LM, "run.steps=10", "run.micro_batch=2", "engine.activation_checkpointing=true")
    )
    assert list(other.losses.values()) == pytest.approx(list(plain.losses.values()), rel=1e-5)
