"""The supervisor of one run: starts generations of workers, watches them, and brings them back."""

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from checkpoint.errors import StoreError, StoreUnavailable
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store
from trainer.auto_resume import GiveUp, RetryHistory, decide
from trainer.errors import ClusterError, RunFolderError, StoppedWhileStarting, TrainerError, WorkerLost
from trainer.events import EventLog, read_events
from trainer.failures import Cause, EndKind, Failure, WorkerEnd, root_cause
from trainer.plan import Assignment, Outcome, Recovery, RunPlan
from trainer.run_folder import RunFolder, RunRecord, WorkerRecord
from trainer.states import RunState, move

EXIT_OK, EXIT_FAILED, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 0, 1, 4, 75
_POLL_S = 0.5
_SETTLE_S = 1.0
"""How long to wait for further ends after the first failure, so that the root cause is among them."""
_CULPRIT_TIMEOUT_S = 15.0
"""How long a lost peer may stay unexplained before the generation is ended anyway."""


class WorkerGroup(Protocol):
    """The workers of one generation, placed and ready to train."""

    workers: Sequence[WorkerRecord]

    def open_store(self) -> tuple[str, int]:
        """Start the rendezvous on rank 0 and return its address. Raises ClusterError when rank 0 died."""
        ...

    def train(self, assignments: Sequence[Assignment]) -> None:
        """Start training on every rank; returns at once."""
        ...

    def ended(self, timeout_s: float) -> list[WorkerEnd]:
        """Return the workers that ended since the last call, waiting up to `timeout_s` for the first.

        A worker whose process is gone ends with a failure of cause infrastructure (or out of memory).
        """
        ...

    def request_stop(self) -> None:
        """Ask the ranks to finish their step, save and end."""
        ...

    def kill(self) -> None:
        """Kill every process of the group; returns when they are gone."""
        ...


class Cluster(Protocol):
    """Where workers can be placed."""

    def start_workers(self, plan: RunPlan, generation: int, stop: threading.Event) -> WorkerGroup:
        """Place one worker per rank and wait until each has loaded the code.

        Kills what an earlier generation left behind. Raises StoppedWhileStarting soon after `stop` is set, and
        ClusterTooSmall or ClusterError after `cluster.start_timeout_s`.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the ends of a generation mean: the outcome of the attempt, or None to go on after `failure`."""

    outcome: Outcome | None
    failure: Failure | None = None


class Supervisor:
    """Runs one attempt. `run` blocks in one thread; `stop` is called from others.

    Everything needed to go on after its own death is in the run record, which is written before acting.
    """

    def __init__(self, plan: RunPlan, attempt: int, cluster: Cluster) -> None:
        self._plan = plan
        self._attempt = attempt
        self._cluster = cluster
        self._folder = RunFolder(plan.folder)
        self._events = EventLog(self._folder.events_path, run=plan.name, attempt=attempt)
        self._stop = threading.Event()
        self._stop_now = threading.Event()
        self._noticed_s: float | None = None
        """When the first sign of the latest failure was noticed, epoch seconds."""
        self._record = self._begin()
        self._history = RetryHistory.from_json(self._record.retries)

    def stop(self, *, now: bool = False) -> None:
        """Ask for the end of the attempt: after the step and a save, or at once."""
        if now:
            self._stop_now.set()
        self._stop.set()

    def run(self) -> Outcome:
        """Train until the run finishes, is interrupted, or fails for good. Never raises."""
        ended = self._ended()
        if ended is not None:
            return ended
        try:
            outcome = self._run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the record and the user must learn of it
            reason = str(error) if isinstance(error, TrainerError) else f"{type(error).__name__}: {error}"
            exit_code = EXIT_ENVIRONMENT if isinstance(error, RunFolderError) else EXIT_FAILED
            outcome = Outcome(RunState.FAILED.text, exit_code, self._last_step(), reason)
        with contextlib.suppress(RunFolderError):  # no space for the record: whoever waits learns of the outcome
            self._finish(outcome)
        return outcome

    def _ended(self) -> Outcome | None:
        """Return the outcome that an earlier supervisor of this attempt had written when it died."""
        record = self._record
        if not RunState.of(record.state).is_terminal or record.exit_code is None:
            return None
        return Outcome(record.state, record.exit_code, record.step, record.reason, record.metrics)

    def _begin(self) -> RunRecord:
        """Claim the run, or take up the attempt again after the death of an earlier supervisor."""
        record = self._folder.record()
        if record is not None and record.attempt == self._attempt:
            self._events.write("supervisor_restarted", generation=record.generation)
            if record.state == RunState.STOPPING.text:
                self._stop.set()
            return record
        self._folder.clear_stop_request()
        began = record or RunRecord(self._plan.name, RunState.CREATED.text, 0, "", uuid.uuid4().hex)
        move(RunState.of(began.state), RunState.STARTING)
        self._events.write("run_started", steps=self._plan.run.steps, workers=self._plan.cluster.workers)
        return self._folder.write_record(
            replace(
                began,
                state=RunState.STARTING.text,
                steps=self._plan.run.steps,
                checkpoint_url=self._plan.checkpoint_url,
                attempt=self._attempt,
                generation=0,
                retries={},
                workers=(),
                reason=None,
                exit_code=None,
                started_s=time.time(),
            )
        )

    def _run(self) -> Outcome:
        # A supervisor that takes an attempt up again recovers from the death of the one before.
        recovery = Recovery(time.time(), self._last_step() or 0) if self._record.generation else None
        while True:
            verdict = self._judge(self._generation(recovery))
            if verdict.outcome is not None:
                return verdict.outcome
            recovery = Recovery(self._noticed_s or time.time(), self._last_step() or 0)

    def _generation(self, recovery: Recovery | None) -> list[WorkerEnd]:
        """Start one membership of workers, and return how it ended; afterwards none of its processes lives."""
        generation = self._record.generation + 1
        state = RunState.STARTING if recovery is None else RunState.RECOVERING
        self._write(state, generation=generation, workers=())
        began_s = time.perf_counter()
        try:
            self._claim_fence()
            group = self._cluster.start_workers(self._plan, generation, self._stop)
        except StoppedWhileStarting:
            return []
        except (ClusterError, StoreError) as error:
            return [self._not_started(error, _cause_of_no_start(error, recovering=recovery is not None))]
        try:
            self._started(group, began_s, recovery)
            return self._watch(group)
        except ClusterError as error:
            return [self._not_started(error, Cause.INFRASTRUCTURE)]
        finally:
            self._end(group)

    def _end(self, group: WorkerGroup) -> None:
        began_s = time.perf_counter()
        group.kill()
        self._events.write(
            "generation_ended", generation=self._record.generation, seconds=time.perf_counter() - began_s
        )

    def _claim_fence(self) -> None:
        """Claim a fence for this generation: what a lost one had half saved must not mix with what it saves again."""
        store = open_store(self._plan.checkpoint_url, self._plan.checkpoint.storage_options)
        fence = claim_fence(store, job=self._plan.job, lease=self._plan.lease)
        self._record = self._folder.write_record(replace(self._record, fence=fence))

    def _started(self, group: WorkerGroup, began_s: float, recovery: Recovery | None) -> None:
        phase = "start_phase" if recovery is None else "recovery_phase"
        self._events.write(phase, phase="place", seconds=time.perf_counter() - began_s)
        host, port = group.open_store()
        for worker in group.workers:
            where = {"worker": worker.rank, "node": worker.node, "pid": worker.pid}
            self._events.write("worker_started", generation=self._record.generation, **where)
        self._write(RunState.RUNNING, workers=tuple(group.workers))
        group.train(
            [
                Assignment(
                    rank=worker.rank,
                    world_size=len(group.workers),
                    generation=self._record.generation,
                    fence=self._record.fence,
                    snapshots=self._snapshots_name(),
                    store_host=host,
                    store_port=port,
                    recovery=recovery,
                )
                for worker in group.workers
            ]
        )

    def _snapshots_name(self) -> str:
        owner = f"{self._record.identity} {self._plan.checkpoint_url}"
        return f"{self._plan.name}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"

    def _watch(self, group: WorkerGroup) -> list[WorkerEnd]:
        """Wait for the end of the generation: of all ranks, or of one that failed and the others a little later."""
        ends: list[WorkerEnd] = []
        deadline_s: float | None = None
        asked = False
        self._noticed_s = None
        while len(ends) < len(group.workers):
            ends += [self._note(end, group) for end in group.ended(_POLL_S)]
            self._read_stop_request()
            if self._stop_now.is_set():
                break
            if self._stop.is_set() and not asked:
                asked = True
                self._write(RunState.STOPPING)
                group.request_stop()
            deadline_s = _deadline(ends, deadline_s)
            if deadline_s is not None and time.monotonic() > deadline_s:
                break
        return ends

    def _note(self, end: WorkerEnd, group: WorkerGroup) -> WorkerEnd:
        if end.kind in {EndKind.FAILED, EndKind.PEER_LOST}:
            self._noticed_s = self._noticed_s or time.time()
        if end.failure is not None:
            pid = next(worker.pid for worker in group.workers if worker.rank == end.rank)
            self._events.write(
                "worker_died", worker=end.rank, pid=pid, cause=end.failure.cause.value, message=end.failure.message
            )
        return end

    def _judge(self, ends: list[WorkerEnd]) -> _Verdict:
        failures = [end.failure for end in ends if end.failure is not None]
        step = self._last_step()
        if self._stop_now.is_set():
            return _Verdict(self._interrupted(step, "stopped at once"))
        if not ends:
            when = "before training began" if step is None else "while workers were being started"
            return _Verdict(self._interrupted(step, f"stopped {when}"))
        if not failures and all(end.kind is EndKind.FINISHED for end in ends):
            metrics = dict(ends[0].metrics)
            return _Verdict(Outcome(RunState.FINISHED.text, EXIT_OK, ends[0].step, metrics=metrics))
        if not failures and all(end.kind is EndKind.INTERRUPTED for end in ends):
            return _Verdict(self._interrupted(ends[0].step, "stopped after a save"))
        failure = root_cause(failures) if failures else _unexplained(ends)
        decision = decide(failure, self._history, self._plan.cluster.retries)
        self._history = self._history.after(failure)
        self._record = self._folder.write_record(replace(self._record, retries=self._history.to_json()))
        self._events.write(
            "decision",
            verdict=type(decision).__name__,
            cause=failure.cause.value,
            worker=failure.rank,
            message=failure.message,
            reason=decision.reason,
        )
        if isinstance(decision, GiveUp):
            exit_code = EXIT_ENVIRONMENT if failure.cause is Cause.ENVIRONMENT else EXIT_FAILED
            return _Verdict(Outcome(RunState.FAILED.text, exit_code, step, decision.reason), failure)
        if self._stop.is_set():
            return _Verdict(self._interrupted(step, f"stopped while recovering: {failure.message}"), failure)
        return _Verdict(None, failure)

    def _interrupted(self, step: int | None, reason: str) -> Outcome:
        return Outcome(RunState.INTERRUPTED.text, EXIT_INTERRUPTED, step, reason)

    def _not_started(self, error: Exception, cause: Cause) -> WorkerEnd:
        self._events.write("workers_not_started", message=str(error))
        return WorkerEnd(0, EndKind.FAILED, None, Failure(0, cause, str(error)))

    def _read_stop_request(self) -> None:
        requested = self._folder.stop_request()
        if requested is not None:
            self.stop(now=requested == "now")

    def _last_step(self) -> int | None:
        """Return the last step in the log. Not the greatest: the run may have gone back to an older checkpoint."""
        last: int | None = None
        for event, _ in read_events(self._folder.events_path):
            if event["event"] == "step":
                last = event["step"]
        return last

    def _write(self, state: RunState, **changes: object) -> None:
        move(RunState.of(self._record.state), state)
        self._record = self._folder.write_record(replace(self._record, state=state.text, **changes))  # type: ignore[arg-type]

    def _finish(self, outcome: Outcome) -> None:
        event = {"finished": "run_finished", "failed": "run_failed", "interrupted": "run_interrupted"}[outcome.state]
        # The record first: whoever sees the event finds the outcome in it.
        self._write(
            RunState.of(outcome.state),
            step=outcome.step,
            reason=outcome.reason,
            exit_code=outcome.exit_code,
            metrics=dict(outcome.metrics),
            workers=(),
        )
        self._events.write(event, step=outcome.step, reason=outcome.reason, exit_code=outcome.exit_code)


def _deadline(ends: list[WorkerEnd], deadline_s: float | None) -> float | None:
    """Return when to stop waiting for more ends, given those so far; None while nothing has gone wrong."""
    if any(end.failure is not None for end in ends):
        settled_s = time.monotonic() + _SETTLE_S
        return settled_s if deadline_s is None else min(deadline_s, settled_s)
    if deadline_s is None and any(end.kind is EndKind.PEER_LOST for end in ends):
        return time.monotonic() + _CULPRIT_TIMEOUT_S
    return deadline_s


def _cause_of_no_start(error: ClusterError | StoreError, *, recovering: bool) -> Cause:
    """What did not fit or answer at first will not later either; what did once may do so again."""
    may_change = isinstance(error, ClusterError | StoreUnavailable)
    if isinstance(error, WorkerLost) or (recovering and may_change):
        return Cause.INFRASTRUCTURE
    return Cause.ENVIRONMENT


def _unexplained(ends: list[WorkerEnd]) -> Failure:
    ranks = [end.rank for end in ends if end.kind is EndKind.PEER_LOST]
    return Failure(
        min(ranks, default=0),
        Cause.INFRASTRUCTURE,
        f"ranks {ranks} lost their peers, but no worker died within {_CULPRIT_TIMEOUT_S:.0f} s",
    )
