"""The attempts that an agent has: takes leases, starts, polls and stops them through the launchers. No network.

Used by one thread. Everything that another agent process needs to go on is on disk before it is acted upon.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch.agent import ownership
from batch.agent.devices import assign
from batch.agent.disk_trouble import DiskTrouble
from batch.agent.held_leases import AgentFolder, HeldLease
from batch.agent.job_code import JobCode
from batch.agent.logs import LogStore, read_chunk
from batch.agent.messages import AttemptStatus, Forget, Grant, Limit, LogChunk, LogRequest, Stop
from batch.agent.node_processes import NodeProcesses
from batch.agent.retention import JobFolders, Retention
from batch.agent.room import Room
from batch.agent.told import sendable_end, sendable_progress
from batch.errors import BatchQueueError, ConflictError, ControllerUnreachable, LaunchError
from batch.launcher import Ended, Launcher, Lease, Progress
from batch.model import Cause

_LOG = logging.getLogger(__name__)
_FASTEST_LOOK_S = 0.01
_SLOWEST_LOOK_S = 1.0
_SWEEP_EVERY_S = 3600.0
_RETENTION = Retention()
_LOOK_PER_AGE = 0.05
"""An attempt is looked at more rarely the longer it runs: noticing its end costs 5 % of its duration at most."""


@dataclass(slots=True)
class _Attempt:
    """What the agent knows of one attempt; what must not be lost is in `held`."""

    held: HeldLease
    lease: Lease
    begun_s: float
    """When this process began with it, or started it."""
    code: Future[Path] | None = None
    archive: Future[None] | None = None
    started_s: float | None = None
    ended: Ended | None = None
    progress: Progress = field(default_factory=Progress)
    log_bytes: Mapping[int, int] | None = None
    next_look_s: float = 0.0
    is_claimed: bool = False
    is_forgotten: bool = False
    owes_stop: bool = False
    """The launcher has not been able to tell it yet that it should stop."""
    is_over: bool = False

    @property
    def waits(self) -> bool:
        return not self.held.is_started and self.ended is None

    def status(self) -> AttemptStatus:
        grant = self.held.grant
        return AttemptStatus(
            uid=grant.uid,
            attempt=grant.attempt,
            fence=grant.fence,
            started_s=self.started_s,
            stop=self.held.stop,
            time_limit_s=grant.time_limit_s,
            ended=self.ended,
            progress=self.progress,
            log_bytes=self.log_bytes or {},
        )


class Attempts:
    """All attempts of one agent, adopted from its folder when it begins."""

    def __init__(
        self,
        folder: AgentFolder,
        launchers: Mapping[str, Launcher],
        processes: NodeProcesses,
        code: JobCode,
        logs: LogStore,
        retention: Retention = _RETENTION,
    ) -> None:
        self._folder = folder
        self._launchers = launchers
        self._processes = processes
        self._code = code
        self._logs = logs
        self.trouble = DiskTrouble(folder.path)
        self._background = ThreadPoolExecutor(2, thread_name_prefix="agent-files")
        self._attempts: dict[tuple[int, int], _Attempt] = {}
        self._folders = JobFolders(folder.path, retention)
        self._next_sweep_s = 0.0
        for held in folder.read():
            if held.is_started and held.grant.kind not in launchers:
                raise ConflictError(
                    f"{folder.path}: job {held.grant.id} of kind {held.grant.kind} runs there, and this agent only "
                    f"knows {', '.join(sorted(launchers))}; start the agent as before"
                )
            self._attempts[held.grant.uid, held.grant.attempt] = self._adopt(held)

    def statuses(self) -> tuple[AttemptStatus, ...]:
        """Return what the controller should know of each attempt."""
        return tuple(attempt.status() for attempt in self._attempts.values() if not attempt.is_forgotten)

    def take(self, grant: Grant) -> None:
        """Take a lease; one that is there already is not taken twice."""
        key = (grant.uid, grant.attempt)
        if key not in self._attempts:
            attempt = self._attempts[key] = self._adopt(HeldLease(grant=grant))
            try:
                self._folders.unmark(grant.uid)
                self._folder.keep(attempt.held)
            except OSError as error:
                self._refuse(attempt, self.trouble.note(error), Cause.INFRASTRUCTURE)

    def stop(self, order: Stop) -> None:
        """Ask an attempt to save and end, or end it at once. One that has not started will not."""
        attempt = self._attempts.get((order.uid, order.attempt))
        if attempt is None or attempt.ended is not None:
            return
        if attempt.waits:
            cancelled = Ended(state="interrupted", cause=Cause.PREEMPTION, message="stopped before it ran")
            self._end(attempt, cancelled, keep=True)
            return
        how = "now" if order.now else "save"
        if attempt.held.stop not in {how, "now"}:
            self._note(attempt, stop=how)
            self._stop_with_launcher(attempt)

    def limit(self, order: Limit) -> None:
        """Let an attempt run for another time than it was said before. When that fails it is ordered again."""
        attempt = self._attempts.get((order.uid, order.attempt))
        if attempt is None or attempt.ended is not None:
            return
        attempt.lease = replace(attempt.lease, time_limit_s=order.time_limit_s)
        try:
            if attempt.held.is_started:
                self._launcher(attempt).limit(attempt.lease)
            self._note(attempt, grant=replace(attempt.held.grant, time_limit_s=order.time_limit_s))
        except OSError as error:
            _LOG.warning("%s: its time limit cannot be changed yet: %s", attempt.lease.id, self.trouble.note(error))

    def forget(self, order: Forget) -> None:
        """The end of an attempt is known: it is gone once its logs are in the store."""
        found = self._attempts.get((order.uid, order.attempt))
        if found is not None and found.ended is not None:
            found.is_forgotten, found.is_over = True, order.is_over

    def look(self) -> bool:
        """Start what can start and look at what is due; return whether the controller should hear of it at once."""
        news = False
        self._sweep_when_due()
        room = self._room()
        for attempt in list(self._attempts.values()):
            try:
                news |= self._look_after(attempt, room)
            except OSError as error:
                # A full disk or a file system that is away for a moment must not take all other attempts along.
                _LOG.warning("%s: attempt %d: %s", attempt.lease.id, attempt.lease.attempt, self.trouble.note(error))
                attempt.next_look_s = time.monotonic() + _SLOWEST_LOOK_S
        return news

    def next_look_s(self) -> float:
        """Return how many seconds may pass until the next look."""
        now_s = time.monotonic()
        due_s = [each.next_look_s - now_s for each in self._attempts.values() if each.ended is None and not each.waits]
        # One that waits may start when another is through starting, or its code has come.
        waiting = [each for each in self._attempts.values() if each.waits or each.is_forgotten]
        waiting_s = [max(_FASTEST_LOOK_S, each.next_look_s - now_s) for each in waiting]
        return max(0.0, min([_SLOWEST_LOOK_S, *due_s, *waiting_s]))

    def read_log(self, request: LogRequest) -> LogChunk:
        """Return a piece of a log: of an attempt that is here, or from the log store."""
        attempt = self._attempts.get((request.uid, request.attempt))
        if attempt is None or attempt.held.grant.kind not in self._launchers:
            return read_chunk(request, self._logs.path(request.uid, request.attempt, request.rank), is_over=True)
        path = self._launcher(attempt).log_paths(attempt.lease).get(request.rank)
        return read_chunk(request, path, is_over=attempt.ended is not None)

    def close(self) -> None:
        """Leave everything as it is, for the next agent."""
        self._background.shutdown(wait=False, cancel_futures=True)

    def _adopt(self, held: HeldLease) -> _Attempt:
        grant = held.grant
        lease = Lease(
            uid=grant.uid,
            id=grant.id,
            attempt=grant.attempt,
            fence=grant.fence,
            kind=grant.kind,
            payload=grant.payload,
            nodes=grant.nodes,
            gpus=grant.gpus,
            cpus=grant.cpus,
            grace_s=grant.grace_s,
            time_limit_s=grant.time_limit_s,
            folder=self._folder.job_path(grant.uid),
            code_path=None if held.code_path is None else Path(held.code_path),
            devices=held.devices,
        )
        attempt = _Attempt(held, lease, time.monotonic(), ended=held.ended)
        if held.is_started and held.ended is None:
            self._launch(attempt)
            if held.stop is not None:
                self._stop_with_launcher(attempt)
        return attempt

    def _sweep_when_due(self) -> None:
        if time.monotonic() >= self._next_sweep_s:
            self._next_sweep_s = time.monotonic() + _SWEEP_EVERY_S
            self._background.submit(self._folders.sweep, {uid for uid, _ in self._attempts})

    def _room(self) -> Room:
        lives = [each for each in self._attempts.values() if each.held.is_started and each.ended is None]
        starting = Counter(node for each in lives if each.started_s is None for node in each.held.grant.nodes)
        nodes = {node.name: node for node in self._processes.nodes()}
        return Room(nodes, starting, {each.held.grant.uid for each in lives})

    def _look_after(self, attempt: _Attempt, room: Room) -> bool:
        now_s = time.monotonic()
        if attempt.next_look_s > now_s:
            return False
        if attempt.is_forgotten:
            self._drop_when_archived(attempt)
        elif attempt.waits:
            return self._start_when_possible(attempt, room)
        elif attempt.ended is None:
            return self._look_at(attempt, now_s)
        return False

    def _start_when_possible(self, attempt: _Attempt, room: Room) -> bool:
        if attempt.held.grant.kind not in self._launchers:
            kinds = ", ".join(sorted(self._launchers))
            self._refuse(attempt, f"kind = {attempt.held.grant.kind}: this pool runs {kinds}")
            return True
        if not room.holds(attempt.held.grant):
            return False
        if not attempt.is_claimed and not self._claim(attempt):
            return attempt.ended is not None
        try:
            code_path = self._code_path(attempt)
        except ControllerUnreachable as error:
            # No fault of the job's, and its budget of launches would be gone in minutes: ask again.
            _LOG.info("%s: its code: %s", attempt.lease.id, error)
            attempt.code, attempt.next_look_s = None, time.monotonic() + _SLOWEST_LOOK_S
            return False
        except BatchQueueError as error:
            self._refuse(attempt, f"its code: {error}")
            return True
        except OSError as error:
            self._refuse(attempt, f"its code: {self.trouble.note(error)}", Cause.INFRASTRUCTURE)
            return True
        if code_path is None and attempt.held.grant.code is not None:
            return False
        return self._start(attempt, code_path, room)

    def _claim(self, attempt: _Attempt) -> bool:
        """Let the folders be this attempt's; return False when they are not yet, or cannot be."""
        grant, folder = attempt.held.grant, attempt.lease.folder
        if not ownership.is_of(folder, grant) and any(
            each.lease.uid == grant.uid and each is not attempt for each in self._attempts.values()
        ):
            return False  # logs of what ran there before are still being stored
        try:
            ownership.claim(folder, grant)
        except OSError as error:
            self._refuse(attempt, self.trouble.note(error), Cause.INFRASTRUCTURE)
            return False
        attempt.is_claimed = True
        return True

    def _code_path(self, attempt: _Attempt) -> Path | None:
        """Return the job's code once it is there, None until then. Raises what getting it raised."""
        grant = attempt.held.grant
        if grant.code is None:
            return None
        if attempt.code is None:
            attempt.code = self._background.submit(self._code.provide, grant.code, self._folder.job_path(grant.uid))
        return attempt.code.result() if attempt.code.done() else None

    def _start(self, attempt: _Attempt, code_path: Path | None, room: Room) -> bool:
        """Start it if its devices are free; return whether the controller should hear at once that it could not."""
        grant = attempt.held.grant
        lives = [each.held for each in self._attempts.values() if each.held.is_started and each.ended is None]
        devices = assign(grant.nodes, grant.gpus, room.nodes, [(held.grant.nodes, held.devices) for held in lives])
        if devices is None:
            return False
        path = None if code_path is None else str(code_path)
        held = replace(attempt.held, is_started=True, devices=devices, code_path=path)
        try:
            self._folder.keep(held)
        except OSError as error:
            self._refuse(attempt, self.trouble.note(error), Cause.INFRASTRUCTURE)
            return True
        attempt.held = held
        attempt.lease = replace(attempt.lease, devices=devices, code_path=code_path)
        attempt.begun_s = time.monotonic()
        room.starting.update(grant.nodes)
        room.jobs.add(grant.uid)
        self._launch(attempt)
        return False

    def _launch(self, attempt: _Attempt) -> None:
        """Tell the launcher to start it, or that it should have; what part of it did start when it fails is ended."""
        try:
            self._launcher(attempt).start(attempt.lease)
        except LaunchError as error:
            self._give_up(attempt, str(error), Cause.LAUNCH)
        except OSError as error:
            self._give_up(attempt, self.trouble.note(error), Cause.INFRASTRUCTURE)

    def _give_up(self, attempt: _Attempt, why: str, cause: Cause) -> None:
        _LOG.warning("%s: attempt %d cannot start: %s", attempt.lease.id, attempt.lease.attempt, why)
        self._note(attempt, refusal=why, refusal_cause=cause, stop="now")
        self._stop_with_launcher(attempt)

    def _look_at(self, attempt: _Attempt, now_s: float) -> bool:
        launcher = self._launcher(attempt)
        if attempt.owes_stop:
            self._stop_with_launcher(attempt)
        before = (attempt.started_s, attempt.progress)
        attempt.started_s = attempt.started_s or launcher.started_s(attempt.lease)
        # The end is looked for first: what was said before it must not be missed.
        ended = launcher.poll(attempt.lease)
        attempt.progress = sendable_progress(launcher.progress(attempt.lease))
        attempt.log_bytes = _sizes(launcher.log_paths(attempt.lease))
        if ended is not None:
            self._end(attempt, sendable_end(ended), keep=False)
            return True
        age_s = now_s - attempt.begun_s
        attempt.next_look_s = now_s + min(_SLOWEST_LOOK_S, max(_FASTEST_LOOK_S, _LOOK_PER_AGE * age_s))
        return before != (attempt.started_s, attempt.progress)

    def _end(self, attempt: _Attempt, ended: Ended, *, keep: bool) -> None:
        if attempt.held.refusal is not None:
            ended = Ended(state="failed", cause=attempt.held.refusal_cause, message=attempt.held.refusal)
        if keep:
            self._note(attempt, ended=ended)
        attempt.ended = ended
        if attempt.held.is_started:
            logs = dict(self._launcher(attempt).log_paths(attempt.lease))
            attempt.archive = self._background.submit(self._logs.keep, attempt.lease.uid, attempt.lease.attempt, logs)

    def _refuse(self, attempt: _Attempt, why: str, cause: Cause = Cause.LAUNCH) -> None:
        self._end(attempt, Ended(state="failed", cause=cause, message=why), keep=True)

    def _drop_when_archived(self, attempt: _Attempt) -> None:
        if attempt.archive is not None and not attempt.archive.done():
            return
        error = None if attempt.archive is None else attempt.archive.exception()
        if error is not None:
            _LOG.warning("%s: its logs stay in %s: %s", attempt.lease.id, attempt.lease.folder, error)
        uid = attempt.lease.uid
        if attempt.is_over and sum(key[0] == uid for key in self._attempts) == 1:
            self._folders.mark(uid)
        self._folder.forget(attempt.held.grant)
        del self._attempts[uid, attempt.lease.attempt]

    def _stop_with_launcher(self, attempt: _Attempt) -> None:
        attempt.next_look_s = 0.0
        attempt.owes_stop = True
        try:
            self._launcher(attempt).stop(attempt.lease, now=attempt.held.stop == "now")
            attempt.owes_stop = False
        except OSError as error:
            _LOG.warning("%s: cannot be stopped yet: %s", attempt.lease.id, self.trouble.note(error))

    def _note(self, attempt: _Attempt, **changes: object) -> None:
        """Change what is kept of it. When the disk takes nothing, what this process knows has to do."""
        attempt.held = replace(attempt.held, **changes)  # type: ignore[arg-type]
        try:
            self._folder.keep(attempt.held)
        except OSError as error:
            self.trouble.note(error)
            if not attempt.held.is_started:  # otherwise the next process would start what is over
                with contextlib.suppress(OSError):
                    self._folder.forget(attempt.held.grant)

    def _launcher(self, attempt: _Attempt) -> Launcher:
        return self._launchers[attempt.held.grant.kind]


def _sizes(paths: Mapping[int, Path]) -> dict[int, int]:
    return {rank: path.stat().st_size for rank, path in paths.items() if path.exists()}
