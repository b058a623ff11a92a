"""Calls of the command line inside the test process, and run folders made by hand."""

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs.compose import compose
from scripts.cli import main
from trainer.events import EventLog
from trainer.run_folder import RunFolder, RunRecord, WorkerRecord


@dataclass(frozen=True)
class Said:
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error on stderr; warnings may stand before it."""
        return json.loads(self.err.splitlines()[-1])["error"]


Ostinato = Callable[..., Said]


def ostinato_in(capsys: pytest.CaptureFixture[str]) -> Ostinato:
    """Return a function that calls `ostinato` with words."""

    def call(*words: str) -> Said:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


def crash(pid: int | None) -> None:
    """End a child of ours as a crash would: SIGKILL, and it is gone."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def make_run(
    root: Path,
    name: str,
    *,
    overrides: Sequence[str] = (),
    record: Mapping[str, Any] | None = None,
    steps: Sequence[tuple[int, float]] = (),
) -> RunFolder:
    """Return the folder of a run that got as far as `steps` (pairs of step and loss), with a record if one is given."""
    folder = RunFolder(root / name)
    folder.create(compose([*overrides, f"run.name={name}"]).document, {"fingerprint": "0"})
    log = EventLog(folder.events_path, run=name, attempt=1)
    for step, loss in steps:
        log.write("step", step=step, loss=loss, lr=1e-3, grad_norm=1.0, step_s=0.1, samples_per_s=1280.0)
    if steps:
        log.write("checkpoint_committed", step=steps[-1][0], bytes=2048, seconds=0.1)
    log.close()
    if record is not None:
        fields = {"steps": 200, "checkpoint_url": str(folder.path / "checkpoints"), "attempt": 1, **record}
        folder.write_record(RunRecord(run=name, **fields))
    return folder


WORKERS = (WorkerRecord(0, "node-a", 101), WorkerRecord(1, "node-b", 102))
