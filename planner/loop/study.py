"""A study: the runs of one family as they come in, beside the ledger of what was forecast of them. One folder."""

import csv
import fcntl
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from planner.errors import BadRunsError
from planner.forecasts.ledger import Ledger
from planner.forecasts.ledger_entries import Outcome
from planner.laws.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """One run that is over. What was not measured is None; a run that diverged or failed has no loss, and is kept."""

    run: str
    params: float
    tokens: float
    flops: float
    loss: float | None = None
    outcome: Outcome = Outcome.FINISHED
    group: str = ""
    seed: int = 0
    steps: int | None = None
    time_s: float | None = None
    memory_bytes: float | None = None

    @property
    def is_evidence(self) -> bool:
        """Whether a law can be fitted to it."""
        return self.outcome is Outcome.FINISHED and self.loss is not None


class Study:
    """The files of one study: `runs.csv` and `ledger.jsonl`. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.runs_path = folder / "runs.csv"

    def runs(self) -> tuple[StudyRun, ...]:
        """Return all runs in the order in which they came. Raises BadRunsError with the row that cannot be read."""
        try:
            text = self.runs_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        found = []
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=1):
            try:
                found.append(_run(row))
            except (KeyError, ValueError, TypeError) as error:
                raise BadRunsError(f"{self.runs_path}, row {number}: is no run of a study ({error})") from error
        return tuple(found)

    def add(self, runs: Iterable[StudyRun]) -> int:
        """Take in runs, and return how many are new or say something new; a run that is known is replaced.

        A run that finished stays as it is: its result is in the ledger. On disk when this returns.
        """
        with self.locked():
            known = {run.run: run for run in self.runs()}
            changed = 0
            for run in runs:
                before = known.get(run.run)
                if before != run and (before is None or not before.is_evidence):
                    known[run.run] = run
                    changed += 1
            if changed:
                self._write(list(known.values()))
        return changed

    def evidence(self, most_flops: float = math.inf) -> Runs:
        """Return what laws are fitted to: the finished runs of at most that compute. It may be empty."""
        chosen = [run for run in self.runs() if run.is_evidence and run.flops <= most_flops]
        return runs_of(chosen)

    def _write(self, runs: Sequence[StudyRun]) -> None:
        names = [field.name for field in fields(StudyRun)]
        partial = self.runs_path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([_cell(getattr(run, name)) for name in names] for run in runs)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.runs_path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone, to read one of its small files and write it again; never around anything slow."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "runs.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # held for the milliseconds of one small file, and dropped with its holder
            yield


def runs_of(chosen: Sequence[StudyRun]) -> Runs:
    """Return runs of a study as laws take them. All must be evidence."""
    return Runs(
        params=np.array([run.params for run in chosen], np.float64),
        tokens=np.array([run.tokens for run in chosen], np.float64),
        loss=np.array([run.loss for run in chosen], np.float64),
        flops=np.array([run.flops for run in chosen], np.float64),
        group=np.array([run.group for run in chosen], np.str_),
        seed=np.array([run.seed for run in chosen], np.int64),
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _run(row: dict[str, str]) -> StudyRun:
    def number(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    return StudyRun(
        run=row["run"], params=float(row["params"]), tokens=float(row["tokens"]), flops=float(row["flops"]),
        loss=number("loss"), outcome=Outcome(row["outcome"]), group=row["group"], seed=int(row["seed"]),
        steps=int(row["steps"]) if row.get("steps") else None,
        time_s=number("time_s"), memory_bytes=number("memory_bytes"),
    )  # fmt: skip
