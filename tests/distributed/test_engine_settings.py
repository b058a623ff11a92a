"""What a user may set about the engine changes how a step is computed, not what it computes."""

import math
import os
from pathlib import Path

import pytest

from configs.compose import compose
from scripts.starting import prepare
from tests.cluster.runs import SMALL
from tests.distributed.spawn import run_ranks
from trainer.accelerators import ACCELERATORS
from trainer.events import EventLog, read_events
from trainer.plan import Assignment, RunPlan

STEPS = 3


def few_steps(rank: int, world_size: int, *, plans: list[RunPlan], log: Path) -> None:
    """One rank: a few steps of each plan, logged as the runs log them."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    from trainer.peers import Peers
    from trainer.worker import Worker

    for plan in plans:
        events = EventLog(log / plan.name, run=plan.name, rank=rank)
        assignment = Assignment(rank, world_size, 1, fence=1, snapshots=str(plan.folder), store_host="", store_port=0)
        loop = Worker(plan, ACCELERATORS["cpu"]).build(assignment, Peers(rank, world_size), events)
        loop.run(0)
        loop.checkpointer.close(retire=True)


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Losses of two ranks under each setting, by its name; all in one pair of processes."""
    settings = {
        "plain": [],
        "accumulated": ["run.micro_batch=4"],
        "recomputed": ["engine.activation_checkpointing=true"],
        "zero3": ["engine=zero3"],
        "zero0": ["engine=zero0"],
        "bf16": ["engine=zero2", "engine.precision=bf16"],
        "bf16_zero3_recomputed": ["engine=zero3", "engine.precision=bf16", "engine.activation_checkpointing=true"],
        "dropout": ["model.dropout=0.2"],
        "dropout_accumulated": ["model.dropout=0.2", "run.micro_batch=4"],
        "passed_through": ["engine=zero3", "engine.deepspeed.zero_optimization.stage3_param_persistence_threshold=0"],
        "bytes": ["model=clip_bytes"],
        "bytes_recomputed": ["model=clip_bytes", "engine.activation_checkpointing=true"],
    }
    folder = tmp_path_factory.mktemp("settings")
    always = [*SMALL, f"run.folder={folder / 'runs'}", f"run.steps={STEPS}", "cluster.workers=2"]
    always.append("optim.warmup_steps=0")
    plans = []
    for name, overrides in settings.items():
        small = [o for o in always if not (name.startswith("bytes") and o.startswith("model.ngram"))]
        start = prepare(compose([*small, *overrides, f"run.name={name}"]))
        start.create(["tests"])
        plans.append(start.plan)
    run_ranks(few_steps, 2, plans=plans, log=folder)
    return {
        plan.name: [e["loss"] for e, _ in read_events(folder / plan.name) if e["event"] == "step"] for plan in plans
    }


@pytest.mark.parametrize("name", ["zero0", "zero3", "passed_through", "accumulated"])
def test_the_same_step_up_to_rounding(losses: dict[str, list[float]], name: str) -> None:
    assert losses[name] == pytest.approx(losses["plain"], rel=1e-5)


def test_recomputing_activations_changes_no_bit(losses: dict[str, list[float]]) -> None:
    assert losses["recomputed"] == losses["plain"]
    assert losses["bytes_recomputed"] == losses["bytes"]


def test_dropout_does_not_depend_on_how_the_batch_is_cut(losses: dict[str, list[float]]) -> None:
    assert losses["dropout"] != losses["plain"]
    assert losses["dropout_accumulated"] == pytest.approx(losses["dropout"], rel=1e-5)


@pytest.mark.parametrize("name", ["bf16", "bf16_zero3_recomputed"])
def test_bf16_is_near(losses: dict[str, list[float]], name: str) -> None:
    assert all(math.isfinite(loss) for loss in losses[name])
    assert losses[name] == pytest.approx(losses["plain"], rel=0.05)
