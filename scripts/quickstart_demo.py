"""The quickstart: trains on the catalogue sample, kills a worker on the way, and tells what came of it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trainer.events import Event
from trainer.run_folder import RunFolder

RUNS = Path("runs")
WORKERS = 2
KILL_AFTER_STEP = 70
_KILLED_RANK = 1


def main(overrides: Sequence[str]) -> int:
    """Run the demonstration; `overrides` are added to the training command. Return the exit code of the training."""
    folder = _free_folder()
    ostinato = [sys.executable, "-m", "scripts.cli"]
    train = ["train", "recipe=catalogue_clip", f"cluster.workers={WORKERS}", f"run.name={folder.name}", *overrides]
    console = Console(soft_wrap=True)
    console.print(f"$ ostinato {' '.join(train)}\n", style="bold")
    process = subprocess.Popen([*ostinato, *train])
    killer = threading.Thread(target=_kill_one_worker, args=(folder, process, console), daemon=True)
    killer.start()
    exit_code = _wait(process)
    if exit_code == 0:
        _tell(folder, console)
    return exit_code


def _free_folder() -> RunFolder:
    numbers = (number for number in range(1, 10_000) if not (RUNS / f"quickstart-{number}").exists())
    return RunFolder(RUNS / f"quickstart-{next(numbers)}")


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the training. Ctrl-C reaches it as well, and it ends cleanly by itself."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _kill_one_worker(folder: RunFolder, process: "subprocess.Popen[bytes]", console: Console) -> None:
    for event in _follow(folder, process):
        if event["event"] == "step" and event["step"] >= KILL_AFTER_STEP:
            record = folder.record()
            if record is None or len(record.workers) <= _KILLED_RANK:
                continue
            pid = record.workers[_KILLED_RANK].pid
            console.print(f"\nAfter step {event['step']}: kill -9 {pid}, which is rank {_KILLED_RANK}.\n")
            os.kill(pid, signal.SIGKILL)
            return


def _follow(folder: RunFolder, process: "subprocess.Popen[bytes]") -> Iterator[Event]:
    while process.poll() is None:
        if folder.exists():
            yield from folder.events(follow=True)
            return
        threading.Event().wait(0.2)


def _tell(folder: RunFolder, console: Console) -> None:
    events = list(folder.events())
    metrics = _last(events, "evaluation")["metrics"]
    console.print(_summary(folder, events))
    console.print(_retrieval(metrics))
    console.print("Next:", style="bold")
    for command in (
        f"ostinato show {folder.name}",
        f"ostinato train recipe=catalogue_clip cluster.workers=1 engine=zero3 run.name={folder.name} run.steps=300",
        f"ostinato checkpoints export {folder.name} --out exported",
    ):
        console.print(f"  .venv/bin/{command}")


def _summary(folder: RunFolder, events: Sequence[Event]) -> Table:
    steps = [event for event in events if event["event"] == "step"]
    recovered = _last(events, "recovered")
    committed = _last(events, "checkpoint_committed")
    record = folder.record()
    table = Table(show_header=False, title="What happened")
    table.add_row("steps", str(steps[-1]["step"]))
    table.add_row("loss", f"{steps[0]['loss']:.2f} -> {steps[-1]['loss']:.3f}")
    table.add_row("worker killed", f"recovered in {recovered['seconds']:.1f} s, {recovered['steps_lost']} steps lost")
    where = record.checkpoint_url if record is not None else ""
    table.add_row("checkpoint", f"step {committed['step']} in {where}")
    return table


def _retrieval(metrics: Mapping[str, float]) -> Table:
    table = Table(title="Retrieval, image to text (right name among the first 5)")
    for column in ("locale", "held-out entities", "seen entities, unseen vendor"):
        table.add_column(column, justify="left" if column == "locale" else "right")
    names = [name.split("/") for name in metrics]
    for locale in [parts[1] for parts in names if parts[0] == "heldout" and parts[-1] == "image_to_text_r5"]:
        table.add_row(locale, *(_percent(metrics, f"{kind}/{locale}/image_to_text_r5") for kind in _KINDS))
    table.add_row("chance", *(_percent(metrics, f"chance/{kind}/r5") for kind in _KINDS))
    return table


_KINDS = ("heldout", "seen_new_vendor")


def _percent(metrics: Mapping[str, float], name: str) -> str:
    return f"{100 * metrics[name]:.1f} %" if name in metrics else "-"


def _last(events: Sequence[Event], name: str) -> Mapping[str, Any]:
    found = [event for event in events if event["event"] == name]
    if not found:
        raise SystemExit(f"the run's events hold no {name!r}: {json.dumps([e['event'] for e in events[-5:]])}")
    return found[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
