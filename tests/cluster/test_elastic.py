"""Another number of workers and another ZeRO stage, and back: the same samples, the same state."""

import os
from pathlib import Path

import pytest

from checkpoint.commits import list_commits
from checkpoint.reader import CommitSource
from checkpoint.stores import open_store
from configs.compose import compose_document
from scripts.starting import prepare
from tests.cluster.conftest import MakePlan
from tests.cluster.runs import Ran, train
from tests.distributed.spawn import run_ranks
from trainer.accelerators import ACCELERATORS
from trainer.events import EventLog
from trainer.plan import Assignment, RunPlan
from trainer.run_folder import RunFolder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
State = dict[tuple[str, str], bytes]


def continued(plan: RunPlan, *overrides: str) -> RunPlan:
    """Return the plan of the same run, as `ostinato resume` makes it."""
    start = prepare(compose_document(RunFolder(plan.folder).document(), overrides), plan.folder)
    start.create(["tests"])
    return start.plan


def samples(ran: Ran) -> dict[int, list[int]]:
    """Return the sample ids of each global step, in the order of the ranks."""
    by_step: dict[int, dict[int, list[int]]] = {}
    for event in ran.named("samples"):
        by_step.setdefault(event["step"], {})[event["rank"]] = event["ids"]
    return {step: [i for rank in sorted(ranks) for i in ranks[rank]] for step, ranks in by_step.items()}


def committed_state(plan: RunPlan) -> State:
    """Return every tensor of the newest commit, as it was saved."""
    store = open_store(plan.checkpoint_url, plan.checkpoint.storage_options)
    source = CommitSource(store, list_commits(store)[0])
    return {key: bytes(source.read_bytes(*key)) for key in source.tensors()}


def load(rank: int, world_size: int, *, plan: RunPlan) -> list[tuple[tuple[str, str], int, bytes]]:
    """One rank: build the engine of `plan`, resume, and return its slices before any step: key, start, bytes."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    from trainer.loop import resume  # noqa: PLC0415 - DeepSpeed reads DS_ACCELERATOR when it is imported
    from trainer.peers import Peers  # noqa: PLC0415
    from trainer.worker import Worker  # noqa: PLC0415

    assignment = Assignment(rank, world_size, generation=1, fence=99, snapshots="loaded", store_host="", store_port=0)
    events = EventLog(Path(os.devnull), run=plan.name, rank=rank)
    loop = Worker(plan, ACCELERATORS["cpu"]).build(assignment, Peers(rank, world_size), events)
    resume(loop.checkpointer, loop.data, events)
    slices = [((s.name, s.kind), s.start, s.view.numpy().tobytes()) for s in loop.engine.adapter.owned()]
    loop.checkpointer.close(retire=True)
    return slices


def loaded_state(plan: RunPlan) -> State:
    """Return what `plan`'s ranks hold right after loading, put together by name."""
    pieces = [piece for rank in run_ranks(load, plan.cluster.workers, plan=plan) for piece in rank]
    state: dict[tuple[str, str], bytes] = {}
    for key, _, data in sorted(pieces, key=lambda piece: (piece[0], piece[1])):
        state[key] = state.get(key, b"") + data
    return state


def test_two_workers_then_one_with_another_stage_then_two_again(make_plan: MakePlan) -> None:
    always = ["run.record_samples=true", "checkpoint.every_steps=1000", "optim.decay_steps=15"]
    reference = train(make_plan("reference", "cluster.workers=2", "run.steps=15", *always))

    plan = make_plan("elastic", "cluster.workers=2", "engine=zero2", "run.steps=5", *always)
    train(plan)
    alone = continued(plan, "cluster.workers=1", "engine=zero3", "run.steps=10")
    assert loaded_state(alone) == committed_state(plan)
    train(alone)
    again = continued(plan, "cluster.workers=2", "engine=zero1", "run.steps=15")
    assert loaded_state(again) == committed_state(plan)
    last = train(again)

    assert last.outcome.state == "finished"
    assert [event["step"] for event in last.named("restored")] == [5, 10, 10]
    assert samples(last) == samples(reference)
    # The sums over ranks round differently at another world size and stage; nothing else may differ.
    assert last.losses == pytest.approx(reference.losses, rel=1e-4)
