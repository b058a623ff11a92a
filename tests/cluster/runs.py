"""Real runs on a local Ray, and faults injected into them from outside."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from checkpoint.commits import list_commits
from checkpoint.reader import CommitSource
from checkpoint.stores import open_store
from trainer.events import Event, read_events
from trainer.launcher import launch
from trainer.plan import Outcome, RunPlan
from trainer.run_folder import RunFolder

SMALL = (
    "recipe=catalogue_clip",
    "model.embedding_dim=32",
    "model.image_channels=[8,16,32]",
    "model.text_width=32",
    "model.ngram_buckets=1024",
    "data.texts_per_image=1",
    "run.global_batch=32",
)
"""A catalogue_clip small enough for dozens of steps a second."""


@dataclass
class Ran:
    """What a run left behind."""

    outcome: Outcome
    folder: RunFolder
    events: list[Event] = field(default_factory=list)

    def named(self, event: str) -> list[Event]:
        return [e for e in self.events if e["event"] == event]

    @property
    def losses(self) -> dict[int, float]:
        """Loss by step. A step that was repeated after a recovery must have had the same loss."""
        by_step: dict[int, float] = {}
        for event in self.named("step"):
            assert by_step.setdefault(event["step"], event["loss"]) == event["loss"], event
        return by_step


class Fault:
    """Something done to a running run, once, when its log shows `after_step`."""

    def __init__(self, after_step: int, act: Callable[[RunFolder], None]) -> None:
        self.after_step = after_step
        self.act = act
        self.fired = False


def kill_rank(rank: int, *, after_step: int, delay_s: float = 0.0) -> Fault:
    """SIGKILL the process of `rank` a little after the step, so that the moment within the next one is random."""

    def act(folder: RunFolder) -> None:
        time.sleep(delay_s)
        record = folder.record()
        assert record is not None
        os.kill(record.workers[rank].pid, signal.SIGKILL)

    return Fault(after_step, act)


def random_kills(seed: int, *, count: int, ranks: int, steps: int, step_s: float = 0.05) -> list[Fault]:
    """`count` kills of random ranks at random moments, spread over the run."""
    generator = random.Random(seed)
    span = steps // (count + 1)
    return [
        kill_rank(
            generator.randrange(ranks),
            after_step=(index + 1) * span + generator.randrange(-span // 3, span // 3),
            delay_s=generator.uniform(0, step_s),
        )
        for index in range(count)
    ]


def train(plan: RunPlan, faults: Sequence[Fault] = ()) -> Ran:
    """Run `plan` in this process, injecting `faults`; every fault must have fired."""
    folder = RunFolder(plan.folder)
    done = threading.Event()
    injector = threading.Thread(target=_inject, args=(folder, list(faults), done), daemon=True)
    injector.start()
    try:
        outcome = launch(plan, lambda event: None)
    finally:
        done.set()
        injector.join(timeout=30)
    assert all(fault.fired for fault in faults), [fault.after_step for fault in faults if not fault.fired]
    return Ran(outcome, folder, list(folder.events()))


def final_state(plan: RunPlan) -> dict[tuple[str, str], bytes]:
    """Return every saved tensor of the newest commit, masters and moments, as bytes."""
    store = open_store(plan.checkpoint_url, plan.checkpoint.storage_options)
    newest = list_commits(store)[0]
    assert newest.step == plan.run.steps
    source = CommitSource(store, newest)
    return {key: bytes(source.read_bytes(*key)) for key in source.tensors()}


def _inject(folder: RunFolder, faults: list[Fault], done: threading.Event) -> None:
    offset = 0
    while faults and not done.wait(0.01):
        for event, behind in read_events(folder.events_path, offset):
            offset = behind
            if faults and event["event"] == "step" and event["step"] >= faults[0].after_step:
                fault = faults.pop(0)
                fault.act(folder)
                fault.fired = True


def processes_of(record: Any) -> list[psutil.Process]:
    """Return the living processes of a record's workers."""
    return [psutil.Process(worker.pid) for worker in record.workers if psutil.pid_exists(worker.pid)]


def run_path(tmp_path: Path, name: str) -> Path:
    """Return the run folder of `name` below `tmp_path`."""
    return tmp_path / "runs" / name
