"""Ray: starts or joins a cluster, places workers, notices their death. With nodes_ray.py, all that imports it.

The supervisor is a detached, restartable actor; each worker is an actor in a placement group of its run. The driver
and the supervisor import neither torch nor DeepSpeed; the workers do, once their actor exists.
"""

import contextlib
import hashlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from trainer.accelerators import Accelerator, choose_accelerator
from trainer.config import ClusterConfig
from trainer.errors import ClusterError, ClusterTooSmall, ClusterUnreachable, StoppedWhileStarting, WorkerLost
from trainer.failures import Cause, EndKind, Failure, WorkerEnd
from trainer.plan import Assignment, Outcome, RunPlan
from trainer.process_output import redirect_output
from trainer.run_folder import RunFolder, RunRecord, WorkerRecord
from trainer.states import RunState
from trainer.supervisor import Supervisor

_NAMESPACE = "ostinato"
_CALL_TIMEOUT_S = 30.0
_START_POLL_S = 1.0
_KILL_TIMEOUT_S = 10.0
_OBJECT_STORE_BYTES = 100 * 2**20  # nothing of ours goes through it, and the default takes 30 % of the memory
_PACKAGES_FOLDER = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def connected(config: ClusterConfig) -> Iterator[None]:
    """Start a Ray of this run's own (`address: local`), which ends with this process, or join one.

    Raises ClusterUnreachable when nothing answers at the address within `connect_timeout_s`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints a paragraph into our output for each worker that dies, whatever log_to_driver says; our events tell.
    ray._private.worker.listen_error_messages = lambda *_: None
    if config.address == "local":
        _start_local(config)
    else:
        _join(config)
    try:
        yield
    finally:
        ray.shutdown()


def _start_local(config: ClusterConfig) -> None:
    # With as many CPUs as the workers want: a laptop with two cores may well train four ranks. They talk on loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    ray.init(
        address="local",
        namespace=_NAMESPACE,
        num_cpus=max(os.cpu_count() or 1, config.workers * config.cpus_per_worker),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="error",
    )


def _join(config: ClusterConfig) -> None:
    failures: list[BaseException] = []

    def connect() -> None:
        try:
            _knock(config)
            # `ray start` wants a token as soon as there is one on the machine; ray.init gives it only when told to.
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            ray.init(
                address=config.address,
                namespace=_NAMESPACE,
                log_to_driver=False,
                logging_level="error",
                runtime_env={"working_dir": str(_PACKAGES_FOLDER), "excludes": list(_NOT_UPLOADED)},
            )
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    # ray.init has no deadline of its own: it tries an address that does not answer for minutes.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(config.connect_timeout_s)
    if thread.is_alive() or failures:
        why = str(failures[0]) if failures else f"no answer within {config.connect_timeout_s:.0f} s"
        raise ClusterUnreachable(
            f"cluster.address = {config.address}: no Ray can be reached there ({why}); start one with "
            "`ray start --head`, correct the address, or use cluster=local; a cluster with authentication needs its "
            "token here too (RAY_AUTH_TOKEN_PATH)"
        )


def _knock(config: ClusterConfig) -> None:
    """Raise OSError when nothing listens at a host:port: Ray would try for long, with a line for each attempt."""
    host, colon, port = config.address.rpartition(":")
    if colon and port.isdigit() and "://" not in config.address:
        socket.create_connection((host, int(port)), timeout=config.connect_timeout_s).close()


_NOT_UPLOADED = ("/.git", "/.venv", "/runs", "/data", "/docs", "/tests", "/node_modules", "**/__pycache__")


class RayCluster:
    """The Ray that this process is connected to, as the supervisor's Cluster."""

    def start_workers(self, plan: RunPlan, generation: int, stop: threading.Event) -> "RayWorkerGroup":
        """See Cluster."""
        _kill_named_workers(plan)
        accelerator = choose_accelerator(plan.cluster.accelerator, ray.cluster_resources())
        group = _place(plan, accelerator, stop)
        actors = [_create_worker(plan, group, accelerator, rank) for rank in range(plan.cluster.workers)]
        try:
            described = _loaded(plan, actors, stop)
        except (ClusterTooSmall, StoppedWhileStarting):
            _kill(actors)
            raise
        except (RayActorError, RayTaskError) as error:
            _kill(actors)
            kind = ClusterError if _raised_itself(error) else WorkerLost
            raise kind(f"a worker could not be started: {_cause_text(error)}") from error
        workers = [WorkerRecord(rank, node, pid) for rank, (node, pid) in enumerate(described)]
        return RayWorkerGroup(actors, workers)


def _loaded(plan: RunPlan, actors: list[Any], stop: threading.Event) -> list[tuple[str, int]]:
    """Return node and process id of each worker once all have loaded the code; raises what one of them raised."""
    waiting = [actor.describe.remote() for actor in actors]
    answers = list(waiting)
    deadline_s = time.monotonic() + plan.cluster.start_timeout_s
    while waiting:
        _refuse_if_stopped(stop)
        if time.monotonic() > deadline_s:
            raise ClusterTooSmall(
                f"{len(waiting)} of {len(actors)} workers did not load within cluster.start_timeout_s = "
                f"{plan.cluster.start_timeout_s:.0f} s; look into {RunFolder(plan.folder).logs_path}"
            )
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=_START_POLL_S)
        ray.get(ready)
    described: list[tuple[str, int]] = ray.get(answers)
    return described


def _refuse_if_stopped(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedWhileStarting("stopped while the workers were being started")


class RayWorkerGroup:
    """The worker actors of one generation."""

    def __init__(self, actors: list[Any], workers: Sequence[WorkerRecord]) -> None:
        self.workers = workers
        self._actors = actors
        self._running: dict[Any, int] = {}

    def open_store(self) -> tuple[str, int]:
        """See WorkerGroup."""
        try:
            host, port = ray.get(self._actors[0].open_store.remote(), timeout=_CALL_TIMEOUT_S)
        except (RayActorError, RayTaskError, GetTimeoutError) as error:
            raise ClusterError(f"rank 0 could not open the rendezvous: {_cause_text(error)}") from error
        return host, port

    def train(self, assignments: Sequence[Assignment]) -> None:
        """See WorkerGroup."""
        self._running = {
            self._actors[assignment.rank].train.remote(assignment): assignment.rank for assignment in assignments
        }

    def ended(self, timeout_s: float) -> list[WorkerEnd]:
        """See WorkerGroup."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return [self._end_of(reference) for reference in ready]

    def request_stop(self) -> None:
        """See WorkerGroup."""
        for actor in self._actors:
            actor.request_stop.remote()

    def kill(self) -> None:
        """See WorkerGroup."""
        _kill(self._actors)

    def _end_of(self, reference: Any) -> WorkerEnd:
        rank = self._running.pop(reference)
        try:
            end: WorkerEnd = ray.get(reference)
        except (RayActorError, RayTaskError) as error:
            cause = Cause.OUT_OF_MEMORY if _ran_out_of_memory(error) else Cause.INFRASTRUCTURE
            message = f"the process died: {_cause_text(error)}"
            return WorkerEnd(rank, EndKind.FAILED, None, Failure(rank, cause, message))
        return end


def _ran_out_of_memory(error: BaseException) -> bool:
    # Ray's own monitor says so; its text on any other death only lists "OOM killer" among what may have happened.
    return isinstance(error, OutOfMemoryError) or "killed due to memory pressure" in str(error).lower()


def _raised_itself(error: BaseException) -> bool:
    """Return whether an actor ended by an exception in its constructor, and not by what befell its process."""
    return isinstance(error, RayTaskError) or "error raised in its creation task" in str(error)


def _cause_text(error: BaseException) -> str:
    """Return the line of Ray's long explanation that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and _raised_itself(error):
        return lines[-1]
    if "connection error code 2. End of file" in str(error):
        return "killed, or crashed without a Python traceback"
    details = [line.partition("Worker exit detail:")[2].strip() for line in lines if "Worker exit detail:" in line]
    return (details or lines or [type(error).__name__])[0][:300]


def _place(plan: RunPlan, accelerator: Accelerator, stop: threading.Event) -> PlacementGroup:
    """Return the run's placement group, one bundle per rank; made anew when an earlier one has other bundles."""
    bundle = {"CPU": float(plan.cluster.cpus_per_worker)}
    if accelerator.ray_resource is not None:
        bundle[accelerator.ray_resource] = 1.0
    bundles = [bundle] * plan.cluster.workers
    name = f"{_prefix(plan)}/workers"
    try:
        group = ray.util.get_placement_group(name)
    except ValueError:
        group = None
    if group is not None and group.bundle_specs != bundles:
        remove_placement_group(group)
        group = None
    if group is None:
        group = placement_group(bundles, strategy=plan.cluster.placement, name=name, lifetime="detached")
    deadline_s = time.monotonic() + plan.cluster.start_timeout_s
    while not group.wait(timeout_seconds=_START_POLL_S):
        if stop.is_set() or time.monotonic() > deadline_s:
            remove_placement_group(group)
            _refuse_if_stopped(stop)
            raise ClusterTooSmall(
                f"cluster.workers = {plan.cluster.workers}: {bundles[0]} each cannot be placed "
                f"({plan.cluster.placement}) within cluster.start_timeout_s = {plan.cluster.start_timeout_s:.0f} s; "
                f"the cluster has {ray.cluster_resources()}"
            )
    return group


def _prefix(plan: RunPlan) -> str:
    """Return what the names of a run's actors begin with; runs of one name in two folders may share a cluster."""
    return f"{plan.name}@{hashlib.sha256(str(plan.folder).encode()).hexdigest()[:8]}"


def _create_worker(plan: RunPlan, group: PlacementGroup, accelerator: Accelerator, rank: int) -> Any:
    gpus = 1 if accelerator.ray_resource == "GPU" else 0
    others = {accelerator.ray_resource: 1} if accelerator.ray_resource not in {None, "GPU"} else {}
    return _WorkerActor.options(
        name=_worker_name(plan, rank),
        num_cpus=plan.cluster.cpus_per_worker,
        num_gpus=gpus,
        resources=others,
        lifetime="detached",
        max_restarts=0,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
    ).remote(plan, accelerator, rank)


def _worker_name(plan: RunPlan, rank: int) -> str:
    return f"{_prefix(plan)}/worker-{rank}"


def _kill_named_workers(plan: RunPlan) -> None:
    """Kill the workers that a dead supervisor of this run left behind."""
    prefix = f"{_prefix(plan)}/worker-"
    names = [str(actor["name"]) for actor in ray.util.list_named_actors(all_namespaces=True)]
    left = []
    for name in (name for name in names if name.startswith(prefix)):
        with contextlib.suppress(ValueError):  # it ended in between
            left.append(ray.get_actor(name, namespace=_NAMESPACE))
    _kill(left)


def _kill_supervisor(name: str) -> None:
    """Kill the supervisor of an attempt that is over, whose driver did not live to do it."""
    with contextlib.suppress(ValueError):
        _kill([ray.get_actor(name, namespace=_NAMESPACE)])


def _kill(actors: list[Any]) -> None:
    """Kill actors, and return when their names are free: the next generation uses them again."""
    for actor in actors:
        ray.kill(actor, no_restart=True)
    deadline_s = time.monotonic() + _KILL_TIMEOUT_S
    for actor in actors:
        while _is_alive(actor) and time.monotonic() < deadline_s:
            time.sleep(0.02)


def _is_alive(actor: Any) -> bool:
    try:
        ray.get(actor.describe.remote(), timeout=0.2)
    except ActorUnavailableError:
        return True
    except (ActorDiedError, RayActorError):
        return False
    except GetTimeoutError:
        return True
    return True


class _WorkerProcess:
    """The process of one rank. Methods of the group `control` answer while `train` blocks."""

    def __init__(self, plan: RunPlan, accelerator: Accelerator, rank: int) -> None:
        redirect_output(RunFolder(plan.folder).logs_path / f"rank-{rank}.log")
        os.environ["DS_ACCELERATOR"] = accelerator.kind
        local = plan.cluster.address == "local"
        os.environ["OSTINATO_NODE_ADDRESS"] = "127.0.0.1" if local else _own_node_address()
        sys.path[:0] = [str(Path(folder).resolve()) for folder in plan.cluster.code_folders]
        # Only now: the driver and the supervisor, which import this file too, stay free of torch and DeepSpeed,
        # and DeepSpeed reads DS_ACCELERATOR when it is imported.
        from trainer.worker import Worker  # noqa: PLC0415

        self._worker = Worker(plan, accelerator)

    @ray.method(concurrency_group="control")
    def describe(self) -> tuple[str, int]:
        """Return node and process id; answered once the code is loaded."""
        return _own_node_address(), os.getpid()

    @ray.method(concurrency_group="control")
    def open_store(self) -> tuple[str, int]:
        """See Worker.open_store."""
        return self._worker.open_store()

    @ray.method(concurrency_group="control")
    def request_stop(self) -> None:
        """See Worker.request_stop."""
        self._worker.request_stop()

    def train(self, assignment: Assignment) -> WorkerEnd:
        """See Worker.train."""
        return self._worker.train(assignment)


class _SupervisorProcess:
    """The process of the supervisor; restarted by Ray when it dies, it takes the run up again from its record."""

    def __init__(self, plan: RunPlan, attempt: int) -> None:
        redirect_output(RunFolder(plan.folder).logs_path / "supervisor.log")
        self._supervisor = Supervisor(plan, attempt, RayCluster())
        self._outcome: Outcome | None = None

    def run(self) -> Outcome:
        """See Supervisor.run. Called again, by a driver that comes back, it gives the same outcome."""
        if self._outcome is None:
            self._outcome = self._supervisor.run()
        return self._outcome

    @ray.method(concurrency_group="control")
    def describe(self) -> tuple[str, int]:
        """Return node and process id."""
        return _own_node_address(), os.getpid()

    @ray.method(concurrency_group="control")
    def stop(self, *, now: bool) -> None:
        """See Supervisor.stop."""
        self._supervisor.stop(now=now)


_CONTROL = {"control": 1}  # methods of this group answer while the main method blocks: one thread of their own
_WorkerActor: Any = ray.remote(concurrency_groups=_CONTROL)(_WorkerProcess)
_SupervisorActor: Any = ray.remote(concurrency_groups=_CONTROL)(_SupervisorProcess)


class SupervisorHandle:
    """The driver's end of a supervisor. Must be used inside `connected`.

    On a cluster that outlives its drivers the run goes on without them. A driver that comes back while the run is
    not over is given the supervisor that is there; otherwise a new one begins the next attempt.
    """

    def __init__(self, plan: RunPlan, record: RunRecord | None) -> None:
        name = f"{_prefix(plan)}/supervisor"
        if record is None or RunState.of(record.state).is_terminal:
            _kill_supervisor(name)
        attempt = 1 if record is None else record.attempt + 1
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._actor = _SupervisorActor.options(
            name=name,
            get_if_exists=True,
            num_cpus=0,
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=here,
        ).remote(plan, attempt)
        self._outcome = self._actor.run.remote()
        self._plan = plan

    def outcome(self, timeout_s: float) -> Outcome | None:
        """Return how the attempt ended, or None when it has not within `timeout_s`. Raises ClusterError."""
        try:
            outcome: Outcome = ray.get(self._outcome, timeout=timeout_s)
        except GetTimeoutError:
            return None
        except (RayActorError, RayTaskError) as error:
            raise ClusterError(
                f"the supervisor of {self._plan.name} failed: {_cause_text(error)}; look into its log, supervisor.log"
            ) from error
        return outcome

    def stop(self, *, now: bool) -> None:
        """Ask for the end of the attempt; returns at once."""
        self._actor.stop.remote(now=now)

    def close(self) -> None:
        """End the supervisor's process and give back the run's placement."""
        ray.kill(self._actor, no_restart=True)
        with contextlib.suppress(ValueError):
            remove_placement_group(ray.util.get_placement_group(f"{_prefix(self._plan)}/workers"))


def _own_node_address() -> str:
    """Return the address under which Ray knows this node; the machine may have others."""
    node_id = ray.get_runtime_context().get_node_id()
    return next(str(node["NodeManagerAddress"]) for node in ray.nodes() if node["NodeID"] == node_id)
