"""Starts a run and stays with it: connects, starts the supervisor, passes events on, turns signals into a clean end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from checkpoint.stores import open_store, probe_conditional_put
from trainer.cluster_ray import SupervisorHandle, connected
from trainer.events import Observer, read_events
from trainer.plan import Outcome, RunPlan
from trainer.run_folder import RunFolder

_POLL_S = 0.2


def launch(plan: RunPlan, observer: Observer) -> Outcome:
    """Run `plan` to its end; the run folder must exist (RunFolder.create). Blocking; called in the main thread.

    `observer` is called with each new event. The first SIGINT or SIGTERM finishes the step, saves and ends the attempt
    as interrupted; the second ends it at once. A run that was interrupted or failed goes on from its newest state.
    Raises RunFolderError when another process runs it, StoreError when checkpoints could not be kept at the plan's
    URL, ClusterUnreachable and ClusterTooSmall.
    """
    folder = RunFolder(plan.folder)
    with folder.lock(), _signals() as signals:
        # Before anything is started: seconds instead of minutes until a wrong bucket or a full disk is known.
        probe_conditional_put(open_store(plan.checkpoint_url, plan.checkpoint.storage_options))
        offset = folder.events_path.stat().st_size if folder.events_path.exists() else 0
        with connected(plan.cluster):
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
        for event, behind in read_events(folder.events_path, offset):
            offset = behind
            observer(event)
    return outcome


class _Signals:
    """Counts SIGINT and SIGTERM."""

    def __init__(self) -> None:
        self.count = 0

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals  # only the main thread may set handlers; whoever runs us in another one stops us by file
        return
    before = {number: signal.signal(number, signals.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
