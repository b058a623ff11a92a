"""One rank of a run: from its assignment to its end. Runs in a process of its own, started by the cluster."""

import contextlib
import time

import torch
from torch.distributed import TCPStore

from checkpoint.checkpointer import Checkpointer
from recipes.build import build_recipe
from trainer.accelerators import Accelerator
from trainer.device import open_device
from trainer.diagnosis import end_of
from trainer.engine import EngineSpec
from trainer.engine_deepspeed import DeepSpeedEngine, join_deepspeed
from trainer.errors import RunFolderError
from trainer.events import EventLog
from trainer.failures import EndKind, WorkerEnd
from trainer.loop import Control, Loop, LoopEnd, resume
from trainer.peers import Peers, host_store, joined
from trainer.plan import Assignment, RunPlan
from trainer.run_folder import RunFolder


class Worker:
    """Trains one rank. `train` blocks in one thread; the other methods are called from others."""

    def __init__(self, plan: RunPlan, accelerator: Accelerator) -> None:
        self._plan = plan
        self._device = open_device(accelerator, threads=plan.cluster.cpus_per_worker)
        self._control = Control()
        self._store: TCPStore | None = None

    def open_store(self) -> tuple[str, int]:
        """Host the rendezvous of this generation; called on rank 0 before anyone trains."""
        self._store, host, port = host_store()
        return host, port

    def request_stop(self) -> None:
        """Ask all ranks to finish their step, save and return; the loop agrees on the step."""
        self._control.stop.set()

    def train(self, assignment: Assignment) -> WorkerEnd:
        """Train until the run ends, someone asks to stop, or something fails; never raises.

        Called once, on every rank of a generation; collective and blocking.
        """
        folder = RunFolder(self._plan.folder)
        events = EventLog(
            folder.events_path, run=self._plan.name, rank=assignment.rank, generation=assignment.generation
        )
        try:
            end = self._train(assignment, events)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything; the supervisor decides
            recovering = assignment.recovery is not None
            worker_end = end_of(error, rank=assignment.rank, step=self._control.step, recovering=recovering)
            failure = worker_end.failure
            with contextlib.suppress(RunFolderError):  # no space: the supervisor hears of it all the same
                events.write(
                    "worker_failed" if failure else "peer_lost",
                    step=self._control.step,
                    message=failure.message if failure else f"{type(error).__name__}: {error}",
                    traceback=failure.traceback if failure else "",
                )
            return worker_end
        kind = EndKind.INTERRUPTED if end.interrupted else EndKind.FINISHED
        return WorkerEnd(assignment.rank, kind, end.step, metrics=tuple(end.metrics.items()))

    def _train(self, assignment: Assignment, events: EventLog) -> LoopEnd:
        plan = self._plan
        phases = _Phases(events, assignment)
        with joined(assignment, device=self._device, timeout_s=plan.cluster.collective_timeout_s) as peers:
            phases.ended("group")
            loop = self.build(assignment, peers, events)
            phases.ended("build")
            first_step = resume(loop.checkpointer, loop.data, events)
            phases.ended("restore")
            self._control.step = first_step
            end = loop.run(first_step)
            loop.checkpointer.close(retire=True)
            return end

    def build(self, assignment: Assignment, peers: Peers, events: EventLog) -> Loop:
        """Return the loop with model, data, engine and checkpointer; called by every rank, collective, blocking."""
        plan = self._plan
        recipe = build_recipe(plan.recipe, plan.model, plan.data)
        torch.manual_seed(plan.run.seed)
        spec = EngineSpec(recipe.model(), plan.optim, plan.engine, plan.batch_plan(), self._device)
        data = recipe.data(seed=plan.run.seed, global_batch=plan.run.global_batch)
        join_deepspeed(self._device)
        engine = DeepSpeedEngine(spec)
        checkpointer = Checkpointer(
            engine.adapter,
            plan.checkpoint,
            url=plan.checkpoint_url,
            run=assignment.snapshots,
            rank=assignment.rank,
            world_size=assignment.world_size,
            fence=assignment.fence,
            generation=assignment.generation,
            log_path=RunFolder(plan.folder).logs_path / "keeper.log",
        )
        return Loop(
            plan, recipe, data, engine, checkpointer, peers, events, self._control, recovery=assignment.recovery
        )


class _Phases:
    """Writes how long each phase of starting or recovering took, on rank 0."""

    def __init__(self, events: EventLog, assignment: Assignment) -> None:
        self._events = events
        self._is_shown = assignment.rank == 0
        self._event = "start_phase" if assignment.recovery is None else "recovery_phase"
        self._began_s = time.perf_counter()

    def ended(self, phase: str) -> None:
        """Write the phase that ends now; the next one begins."""
        now_s = time.perf_counter()
        if self._is_shown:
            self._events.write(self._event, phase=phase, seconds=now_s - self._began_s)
        self._began_s = now_s
