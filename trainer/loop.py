"""The step loop: everything that happens in training, on one screen."""

import math
import random
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from checkpoint.checkpointer import Checkpointer
from checkpoint.errors import FencedError
from checkpoint.keeper_protocol import SaveReport
from recipes.protocol import Recipe, TrainData
from trainer.device import peak_memory_bytes, seed_torch
from trainer.engine import Engine
from trainer.errors import DataChangedError, NonFiniteLossError
from trainer.events import EventLog
from trainer.peers import Peers
from trainer.plan import Recovery, RunPlan
from trainer.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class LoopEnd:
    """How the loop ended: after `step` optimizer steps, by itself or because it was asked to stop."""

    step: int
    interrupted: bool
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Control:
    """What passes between the loop and the other threads of its process."""

    stop: threading.Event = field(default_factory=threading.Event)
    step: int | None = None
    trained_steps: int = 0
    """In this process."""
    trained_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Loop:
    """One rank's training. `step` counts finished optimizer steps: checkpoint N is the state after N steps."""

    plan: RunPlan
    recipe: Recipe
    data: TrainData
    engine: Engine
    checkpointer: Checkpointer
    peers: Peers
    events: EventLog
    control: Control
    recovery: Recovery | None = None

    def run(self, first_step: int) -> LoopEnd:
        """Train from `first_step` to the end of the run. Called by every rank; collective and blocking."""
        plan, rank = self.plan, self.peers.rank
        micro_slices = plan.batch_plan().micro_slices(rank)
        step = first_step
        while step < plan.run.steps:
            started_s = time.perf_counter()
            _seed_generators(plan.run.seed, step, rank)
            batches = [self.data.batch(step, start, stop) for start, stop in micro_slices]
            values = []
            for loss in self.recipe.losses(self.engine.forward, batches):
                self.engine.backward(loss.backward)
                values.append(loss.value)
            agreement = self.peers.propose(values, stop=self.control.stop.is_set())
            lr = learning_rate(plan.optim, step, plan.run.steps)
            grad_norm = self.engine.step(lr)
            agreed = agreement.result()
            self.control.step = step = step + 1
            _guard(step, agreed.loss, grad_norm)
            self._report_step(step, agreed.loss, lr, grad_norm, started_s)
            if self.recovery is not None and step == first_step + 1:
                self._report_recovery(first_step, self.recovery)
            self._keep(step)
            if agreed.stop:
                self._make_durable(step)
                return LoopEnd(step, interrupted=True)
            if _is_due(step, plan.run.evaluate_every_steps) and step < plan.run.steps:
                self._evaluate(step, full=False)
        self._make_durable(step)
        return LoopEnd(step, interrupted=False, metrics={**self._evaluate(step, full=True), **self._usage()})

    def _keep(self, step: int) -> None:
        """Snapshot into shared memory, and ask for a durable copy when one is due; never waits for the store."""
        config = self.plan.checkpoint
        save_is_due = _is_due(step, config.every_steps)
        if save_is_due or _is_due(step, config.snapshot_every_steps):
            self.checkpointer.snapshot(step, self._extra())
        if save_is_due and not self.checkpointer.save():
            self.events.write("checkpoint_skipped", step=step, reason="the one before is still being written")
        self._report_saves(self.checkpointer.reports())

    def _make_durable(self, step: int) -> None:
        """Return when `step` is committed. Raises CheckpointError subclasses when it cannot be."""
        timeout_s = self.plan.checkpoint.save_timeout_s
        reports = self.checkpointer.wait(timeout_s)
        if self.checkpointer.durable_step != step:
            self.checkpointer.snapshot(step, self._extra())
            self.checkpointer.save()
            reports += self.checkpointer.wait(timeout_s)
        self._report_saves(reports)
        if self.checkpointer.durable_step != step:
            raise next(report for report in reversed(reports) if not report.ok).to_error()

    def _extra(self) -> dict[str, str | int]:
        return {"data_fingerprint": self.data.fingerprint, "seed": self.plan.run.seed}

    def _evaluate(self, step: int, *, full: bool) -> dict[str, float]:
        started_s = time.perf_counter()
        self.engine.set_training(training=False)
        with torch.no_grad():
            metrics = self.recipe.evaluate(self.engine.forward, full=full)
        self.engine.set_training(training=True)
        if self.peers.rank == 0:
            self.events.write(
                "evaluation", step=step, full=full, metrics=metrics, seconds=time.perf_counter() - started_s
            )
        return metrics

    def _usage(self) -> dict[str, float]:
        """Return what the run took, as metrics: those who plan the next run learn from it."""
        usage = {"run/peak_memory_bytes": float(peak_memory_bytes())}
        if self.control.trained_steps:
            speed = self.control.trained_steps * self.plan.run.global_batch / self.control.trained_s
            usage["run/samples_per_s"] = speed
        return usage

    def _report_step(self, step: int, loss: float, lr: float, grad_norm: float | None, started_s: float) -> None:
        # Rank 0 writes before its snapshot is sealed: a step that can be resumed from is always in the log.
        if self.plan.run.record_samples:
            batch_plan = self.plan.batch_plan()
            slices = batch_plan.micro_slices(self.peers.rank)
            ids = self.data.sample_ids(step - 1, slices[0][0], slices[-1][1])
            self.events.write("samples", step=step, ids=ids)
        seconds = time.perf_counter() - started_s
        self.control.trained_steps += 1
        self.control.trained_s += seconds
        if self.peers.rank == 0:
            self.events.write(
                "step",
                step=step,
                loss=loss,
                lr=lr,
                grad_norm=grad_norm,
                step_s=seconds,
                samples_per_s=self.plan.run.global_batch / seconds,
            )

    def _report_recovery(self, restored_step: int, recovery: Recovery) -> None:
        if self.peers.rank == 0:
            self.events.write(
                "recovered",
                step=restored_step,
                seconds=time.time() - recovery.failed_s,
                steps_lost=max(0, recovery.step_reached - restored_step),
            )

    def _report_saves(self, reports: list[SaveReport]) -> None:
        for report in reports:
            if not report.ok:
                self.events.write("checkpoint_failed", step=report.step, error=f"{report.error}: {report.message}")
                error = report.to_error()
                if isinstance(error, FencedError):
                    raise error
            elif self.peers.rank == 0:
                self.events.write(
                    "checkpoint_committed", step=report.step, bytes=report.bytes, seconds=report.seconds
                )


def resume(checkpointer: Checkpointer, data: TrainData, events: EventLog) -> int:
    """Put back the newest state that every rank can read; return the number of finished steps, 0 when there is none.

    Collective and blocking. Raises DataChangedError when the data is not what the run was trained on.
    """
    restored = checkpointer.restore()
    if restored is None:
        return 0
    fingerprint = restored.extra.get("data_fingerprint")
    if fingerprint != data.fingerprint:
        raise DataChangedError(
            f"the run was trained on data {fingerprint} up to step {restored.step}, but data.url now holds "
            f"{data.fingerprint}: put the old data back, or start a new run with another run.name"
        )
    for what in restored.damaged:
        events.write("checkpoint_damaged", message=what)
    events.write(
        "restored", step=restored.step, origin=restored.origin, bytes=restored.bytes, seconds=restored.seconds
    )
    return restored.step


def _is_due(step: int, every_steps: int | None) -> bool:
    return every_steps is not None and step % every_steps == 0


def _guard(step: int, loss: float, grad_norm: float | None) -> None:
    """Stop before a poisoned state is kept. Every rank has the same numbers, so every rank raises."""
    if not math.isfinite(loss) or not math.isfinite(grad_norm or 0.0):
        raise NonFiniteLossError(
            f"step {step}: loss = {loss}, gradient norm = {grad_norm}; the state of step {step - 1} is intact. "
            "Lower optim.lr, raise optim.warmup_steps, set engine.gradient_clipping, or look at the data"
        )


def _seed_generators(seed: int, step: int, rank: int) -> None:
    """Key every generator that a library may draw from by (seed, step, rank): no generator state is ever saved."""
    words = np.random.SeedSequence((seed, step, rank)).generate_state(3)
    seed_torch(int(words[0]))
    random.seed(int(words[1]))
    np.random.seed(int(words[2]))
