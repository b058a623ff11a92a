"""Starts a run and stays with it: connects, starts the supervisor, passes events on, turns signals into a clean end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from checkpoint.stores import open_store, probe_conditional_put
from trainer.cluster_ray import SupervisorHandle
from trainer.connection_ray import connected
from trainer.events import Observer, read_events
from trainer.plan import Outcome, RunPlan
from trainer.run_folder import RunFolder
from trainer.states import RunState
from trainer.supervisor import EXIT_INTERRUPTED

_POLL_S = 0.5
_LEAVE_TIMEOUT_S = 5.0
"""How long a supervisor that is told to end at once is waited for."""


def launch(plan: RunPlan, observer: Observer, begin: Callable[[], None] = lambda: None) -> Outcome:
    """Run `plan` to its end. Blocking; called in the main thread.

    `begin` is called once nobody else trains the run, and makes its folder (RunFolder.create) if it is not there, so
    that a start that is refused changes nothing of the run that lives. `observer` is called with each new event. The
    first SIGINT or SIGTERM finishes the step, saves and ends the attempt as interrupted; the second ends it at once.
    A run that was interrupted or failed goes on from its newest state. Raises RunFolderError when another process
    runs it, StoreError when checkpoints could not be kept at the plan's URL, ClusterUnreachable and ClusterTooSmall.
    """
    folder = RunFolder(plan.folder)
    with folder.lock(), _signals() as signals:
        begin()
        # Before anything is started: seconds instead of minutes until a wrong bucket or a full disk is known.
        probe_conditional_put(open_store(plan.checkpoint_url, plan.checkpoint.storage_options))
        offset = folder.events_path.stat().st_size if folder.events_path.exists() else 0
        with connected(plan.cluster):
            signals.arm()  # Ray's core has put its own handler of SIGTERM in place of ours
            supervisor = SupervisorHandle(plan, folder.record())
            try:
                return _follow(supervisor, folder, observer, signals, offset)
            finally:
                supervisor.close()


def _follow(
    supervisor: SupervisorHandle, folder: RunFolder, observer: Observer, signals: "_Signals", offset: int
) -> Outcome:
    outcome: Outcome | None = None
    passed_on = 0
    while outcome is None:
        outcome = supervisor.outcome(_POLL_S)
        if signals.count > passed_on:
            passed_on = signals.count
            supervisor.stop(now=passed_on > 1)
            if passed_on > 1:
                outcome = outcome or supervisor.outcome(_LEAVE_TIMEOUT_S) or _abandoned(folder)
        for event, behind in read_events(folder.events_path, offset):
            offset = behind
            observer(event)
    return outcome


def _abandoned(folder: RunFolder) -> Outcome:
    """Leave a supervisor that does not answer; the caller kills it, and the next attempt begins where it was."""
    return Outcome(RunState.INTERRUPTED.text, EXIT_INTERRUPTED, reason=f"stopped at once; see {folder.logs_path}")


class _Signals:
    """Counts SIGINT and SIGTERM."""

    def __init__(self) -> None:
        self.count = 0

    def arm(self) -> None:
        """Take the two signals; only the main thread may, whoever runs us in another one stops us by file."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.handle)
            signal.signal(signal.SIGTERM, self.handle)

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals.arm()
    try:
        yield signals
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
