"""An in-memory Cluster: workers whose ends are scripted, for tests of the supervisor."""

import threading
from collections.abc import Callable, Sequence

from trainer.errors import ClusterError
from trainer.events import EventLog
from trainer.failures import Cause, EndKind, Failure, WorkerEnd
from trainer.plan import Assignment, RunPlan
from trainer.run_folder import RunFolder, WorkerRecord

Script = Callable[["FakeWorkerGroup"], list[WorkerEnd]]


class FakeWorkerGroup:
    """One generation; `script` says how its workers end. Logs one step per generation, as rank 0 would."""

    def __init__(self, plan: RunPlan, generation: int, script: Script) -> None:
        self.workers: Sequence[WorkerRecord] = [
            WorkerRecord(rank, "127.0.0.1", 100 * generation + rank) for rank in range(plan.cluster.workers)
        ]
        self.plan = plan
        self.generation = generation
        self.assignments: Sequence[Assignment] = ()
        self.stop_requested = False
        self.killed = False
        self._script = script
        self._told = False

    def open_store(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def train(self, assignments: Sequence[Assignment]) -> None:
        self.assignments = assignments
        log = EventLog(RunFolder(self.plan.folder).events_path, run=self.plan.name, rank=0)
        log.write("step", step=self.generation)

    def ended(self, timeout_s: float) -> list[WorkerEnd]:
        if self._told:
            return []
        ends = self._script(self)
        self._told = bool(ends)
        return ends

    def request_stop(self) -> None:
        self.stop_requested = True

    def kill(self) -> None:
        self.killed = True


class FakeCluster:
    """Plays one script per generation; an exception in place of a script is raised instead of starting workers."""

    def __init__(self, *scripts: Script | ClusterError) -> None:
        self._scripts = list(scripts)
        self.groups: list[FakeWorkerGroup] = []

    def start_workers(self, plan: RunPlan, generation: int, stop: threading.Event) -> FakeWorkerGroup:
        script = self._scripts.pop(0)
        if isinstance(script, ClusterError):
            raise script
        self.groups.append(FakeWorkerGroup(plan, generation, script))
        return self.groups[-1]


def all_end(kind: EndKind, step: int) -> Script:
    return lambda group: [WorkerEnd(worker.rank, kind, step) for worker in group.workers]


def one_fails(rank: int, cause: Cause, *, step: int | None = None, fingerprint: str = "", text: str = "") -> Script:
    """Rank `rank` fails; the others report a lost peer."""

    def script(group: FakeWorkerGroup) -> list[WorkerEnd]:
        failure = Failure(rank, cause, "it broke", step, text, fingerprint)
        others = [WorkerEnd(worker.rank, EndKind.PEER_LOST) for worker in group.workers if worker.rank != rank]
        return [WorkerEnd(rank, EndKind.FAILED, step, failure), *others]

    return script


def when_asked_to_stop(step: int) -> Script:
    """Nothing ends before someone asks; then every rank is interrupted."""

    def script(group: FakeWorkerGroup) -> list[WorkerEnd]:
        return all_end(EndKind.INTERRUPTED, step)(group) if group.stop_requested else []

    return script
