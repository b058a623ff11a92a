"""Runs jobs of kind `command`: any program, one process per node, each beside a runner that outlives the agent."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.agent.atomic_files import create_json, read_json, replace_json
from batch.agent.attempt_folder import (
    checkpoint_path,
    log_path,
    newest_checkpoint,
    process_exit,
    rank_path,
    run_path,
)
from batch.agent.exits import NOT_STARTED, PEER, ProcessExit, judge
from batch.agent.job_environment import job_environment
from batch.agent.node_processes import NOBODY, NodeProcesses
from batch.agent.secret_references import resolve, resolved
from batch.errors import BadRequestError, LaunchError
from batch.json_values import from_json
from batch.launcher import Ended, Lease, Progress

_LIVING_EVERY_S = 1.0
"""A runner all but never dies, and on a cluster asking costs a call to its node."""
_START_TIMEOUT_S = 120.0
"""How long a runner may take to read its order: a machine under heavy load, a file system far away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPayload:
    """What a job of kind `command` says. `overrides` are those of a member of a sweep, appended to the command.

    `folder` is the working directory below the code that was submitted, or anywhere when none was. `secrets` are
    references (secret_references.py) by the name of the variable that gets the value. `stops_its_own`: SIGTERM goes to
    the first process alone, which ends what it has started; otherwise to all.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    secrets: Mapping[str, str] | None = None
    folder: str | None = None
    overrides: tuple[str, ...] = ()
    stops_its_own: bool = False


class CommandLauncher:
    """Starts commands. Satisfies batch.launcher.Launcher; all it knows lies in the attempts' folders."""

    def __init__(self, processes: NodeProcesses) -> None:
        self._processes = processes
        self._looked_s: dict[tuple[int, int], float] = {}
        """When it was last asked whether the runners of an attempt live."""
        self._runners: dict[tuple[int, int, int], str] = {}
        """Who runs which process of an attempt: somebody may remove the folder that says so."""

    def start(self, lease: Lease) -> None:
        """See Launcher. Starts what is not started yet: an attempt is run once, however often this is called."""
        try:
            payload = from_json(CommandPayload, lease.payload, "payload")
        except BadRequestError as error:
            raise LaunchError(f"job {lease.id}: {error}") from error
        # Otherwise each of several jobs on a machine starts as many threads as the machine has cores.
        self.start_program(lease, payload, {"OMP_NUM_THREADS": str(max(1, lease.cpus))})

    def start_program(self, lease: Lease, payload: CommandPayload, environment: Mapping[str, str]) -> None:
        """Start `payload`, in `environment` where it asks for nothing else: for launchers that build on this one."""
        if all((rank_path(lease, rank) / "started.json").exists() for rank in range(len(lease.nodes))):
            return
        environment = {**environment, **resolved(payload.environment or {}), **resolve(payload.secrets or {})}
        address = self._processes.address(lease.nodes[0])
        checkpoint = newest_checkpoint(lease)
        run_path(lease).mkdir(parents=True, exist_ok=True)
        for rank, node in enumerate(lease.nodes):
            folder = rank_path(lease, rank)
            if (folder / "started.json").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            replace_json(folder / "order.json", _order(lease, payload, rank))
            ours = job_environment(lease, rank, address, checkpoint)
            # What a person sets wins over our defaults, never over who the job is.
            self._processes.start(node, str(folder), {**_without_identity(ours, environment), **environment})

    def started_s(self, lease: Lease) -> float | None:
        """See Launcher. Runs when every process does."""
        started = [read_json(rank_path(lease, rank) / "started.json") for rank in range(len(lease.nodes))]
        times = [float(each["started_s"]) for each in started if each is not None]
        return max(times) if len(times) == len(lease.nodes) else None

    def poll(self, lease: Lease) -> Ended | None:
        """See Launcher. When one process of several ends other than well, the others are stopped."""
        exits = self._exits(lease)
        if any(each is not None and each.code != 0 for each in exits):
            self._stop(lease, exits, now=False, why=PEER)
        ended = [each for each in exits if each is not None]
        if len(ended) < len(lease.nodes):
            return None
        self._looked_s.pop((lease.uid, lease.attempt), None)
        for rank in range(len(lease.nodes)):
            self._runners.pop((lease.uid, lease.attempt, rank), None)
        return judge(ended)

    def progress(self, lease: Lease) -> Progress:
        """See Launcher."""
        report = read_json(checkpoint_path(lease)) or {}
        saved_s, step = report.get("saved_s"), report.get("step")
        return Progress(
            saved_s=float(saved_s) if isinstance(saved_s, int | float) else None,
            step=step if isinstance(step, int) else None,
        )

    def stop(self, lease: Lease, *, now: bool) -> None:
        """See Launcher. Repeating it changes nothing, except from `now=False` to `now=True`."""
        exits: list[ProcessExit | None] = [process_exit(lease, rank) for rank in range(len(lease.nodes))]
        self._stop(lease, exits, now=now, why="stop")

    def limit(self, lease: Lease) -> None:
        """See Launcher."""
        for rank in range(len(lease.nodes)):
            folder = rank_path(lease, rank)
            if folder.exists():
                replace_json(folder / "limit.json", {"time_limit_s": lease.time_limit_s})

    def log_paths(self, lease: Lease) -> Mapping[int, Path]:
        """See Launcher."""
        paths = {rank: log_path(lease.folder, lease.attempt, rank) for rank in range(len(lease.nodes))}
        return {rank: path for rank, path in paths.items() if path.exists()}

    def _exits(self, lease: Lease) -> list[ProcessExit | None]:
        """Return how each process ended, None where it runs or has not begun; tidies up after runners that died."""
        exits = [process_exit(lease, rank) for rank in range(len(lease.nodes))]
        runners = {rank: self._runner(lease, rank) for rank, each in enumerate(exits) if each is None}
        living = self._living(lease, {rank: each for rank, each in runners.items() if each is not None})
        for rank, runner in runners.items():
            if runner is None:
                exits[rank] = _close_unstarted(lease, rank)
            elif runner not in living:
                # Between our two looks it may have ended regularly.
                exits[rank] = process_exit(lease, rank) or self._gone(lease, rank, runner)
        return exits

    def _living(self, lease: Lease, runners: Mapping[int, str]) -> frozenset[str]:
        """Return which runners live; all, as long as the last look at them was a moment ago."""
        key, now_s = (lease.uid, lease.attempt), time.monotonic()
        if now_s - self._looked_s.setdefault(key, now_s) < _LIVING_EVERY_S or not runners:
            return frozenset(runners.values())
        self._looked_s[key] = now_s
        by_node: dict[str, list[str]] = {}
        for rank, runner in runners.items():
            by_node.setdefault(lease.nodes[rank], []).append(runner)
        return self._processes.living(by_node)

    def _runner(self, lease: Lease, rank: int) -> str | None:
        key = (lease.uid, lease.attempt, rank)
        started = read_json(rank_path(lease, rank) / "started.json")
        if started is not None:
            self._runners[key] = str(started["process"])
        return self._runners.get(key)

    def _gone(self, lease: Lease, rank: int, runner: str) -> ProcessExit:
        mark = f"OSTINATO_CHECKPOINT_FILE={checkpoint_path(lease)}"
        self._processes.kill_session(lease.nodes[rank], runner, mark)
        return ProcessExit(rank, is_gone=True)

    def _stop(self, lease: Lease, exits: Sequence[ProcessExit | None], *, now: bool, why: str) -> None:
        for rank, each in enumerate(exits):
            path = rank_path(lease, rank) / "stop.json"
            asked = read_json(path)
            if each is None and (asked is None or (now and not asked.get("now"))):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    replace_json(path, {"now": now, "why": why})
                except OSError:
                    path.touch()  # an empty file needs no room on a full disk, and says: save and stop


def _close_unstarted(lease: Lease, rank: int) -> ProcessExit | None:
    """End a process that no runner has taken up, when it is to stop or its runner is overdue; else return None.

    By taking it up ourselves: a runner that comes late finds that, and leaves.
    """
    folder = rank_path(lease, rank)
    if not (folder / "order.json").exists():
        return ProcessExit(rank, why=NOT_STARTED)  # starting it has failed before there was anything to take up
    why = (read_json(folder / "stop.json") or {}).get("why")
    if why is None and _age_s(folder / "order.json") > _START_TIMEOUT_S:
        why = NOT_STARTED
    if why is None:
        return None
    now_s = time.time()
    if create_json(folder / "started.json", {"process": NOBODY, "started_s": now_s}):
        end = {"code": None, "why": why, "out_of_memory": False, "ended_s": now_s}
        replace_json(folder / "exit.json", end, durable=True)
    return process_exit(lease, rank)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _order(lease: Lease, payload: CommandPayload, rank: int) -> dict[str, Any]:
    base = lease.code_path if lease.code_path is not None else run_path(lease)
    log = log_path(lease.folder, lease.attempt, rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    return {
        "command": [*payload.command, *payload.overrides],
        "folder": str(base / payload.folder if payload.folder else base),
        "log": str(log),
        "grace_s": lease.grace_s,
        "time_limit_s": lease.time_limit_s,
        "to_group": not payload.stops_its_own,
    }


def _without_identity(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    taken = sorted(name for name in theirs if name.startswith("OSTINATO_") and name in ours)
    if taken:
        raise LaunchError(f"environment: {', '.join(taken)} are set by the queue; choose other names")
    return dict(ours)
