"""Runs from a CSV or Parquet file; what cannot be fitted is refused in a sentence that names file, row and value."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import BadRunsError
from planner.laws.runs import MAY_BE_ZERO, OTHER_COLUMNS, Array, Runs

REQUIRED = ("params", "tokens", "loss")
KNOWN = (*REQUIRED, "flops", "group", "seed", "convention", *OTHER_COLUMNS)
SANE = {
    **dict.fromkeys(("params", "tokens", "loss", "flops", *OTHER_COLUMNS), (1e-12, 1e40)),
    "params": (1.0, 1e20), "tokens": (1.0, 1e25), "loss": (1e-9, 1e9), "flops": (1.0, 1e40),
}  # fmt: skip
"""What a column can hold of anything that was ever or will soon be trained: beyond it, fits end in no number."""
OUTCOME, FINISHED = "outcome", "finished"
_OUTCOMES = {FINISHED, "diverged", "failed"}
"""How a study (planner.loop) marks its runs, all of which it keeps: only those that finished are evidence."""
MOST_RUNS = 200_000
_PLAIN_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.I | re.A
)
_MOST_SEED = 2**53
_FEWEST = 3
_SAME_BUDGET = 1.01
_CONSTANT_FACTOR = 1.5


def read_runs(path: Path, columns: Mapping[str, str] | None = None) -> Runs:
    """Read runs. `columns` maps our names (KNOWN) to the file's, where they differ: {"params": "N"}.

    Rows are counted from 1, the header not among them. In the table of a study the runs that diverged or failed are
    left out, which `Runs.notes` tells, and rows are counted without them. Raises BadRunsError for a file that cannot be
    read, columns that are missing, values that are not finite and positive, repeated rows, fewer than three runs, runs
    of one budget, and mixed conventions. What is only odd (columns that nothing reads, `flops` at a varying ratio to
    6 · params · tokens) is in `Runs.notes`.
    """
    names = dict(columns or {})
    if strangers := sorted(set(names) - set(KNOWN)):
        raise BadRunsError(f"column {strangers[0]}={names[strangers[0]]}: must be one of {', '.join(KNOWN)}")
    table = _table(path)
    table, unfinished = _finished(_renamed(path, table, names))
    _refuse_mixed_conventions(path, table)
    numbers = {name: _numbers(path, name, table[name]) for name in _numeric(table)}
    _refuse_few(path, numbers)
    _refuse_many(path, numbers)
    flops = numbers.pop("flops", 6.0 * numbers["params"] * numbers["tokens"])
    other = {name: values for name, values in numbers.items() if name in OTHER_COLUMNS}
    group = np.array([str(value) for value in table["group"]]) if "group" in table else None
    seed = _numbers(path, "seed", table["seed"]).astype(np.int64) if "seed" in table else None
    notes = (*unfinished, *_notes(path, table, flops, numbers))
    runs = Runs(numbers["params"], numbers["tokens"], numbers["loss"], flops, group, seed, other, notes)
    _refuse_one_budget(path, runs)
    _refuse_repeats(path, runs)
    return runs


def _table(path: Path) -> dict[str, Sequence[Any]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet  # noqa: PLC0415 - 0.2 s that CSV files need not pay

            return dict(parquet.read_table(path).to_pydict())
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = list(csv.reader(stream)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise BadRunsError(f"{path}: cannot be read as {path.suffix or 'CSV'} ({error})") from error
    header = [name.strip() for name in header]
    if not header:
        raise BadRunsError(f"{path}: is empty: the first line must name the columns: {', '.join(REQUIRED)}")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise BadRunsError(f"{path}: column {repeated[0]} is there {header.count(repeated[0])} times: which is meant?")
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BadRunsError(f"{path}, row {number}: has {len(row)} values, the header has {len(header)}")
    return {name: [row[at].strip() for row in rows] for at, name in enumerate(header)}


def _renamed(path: Path, table: Mapping[str, Sequence[Any]], names: Mapping[str, str]) -> dict[str, Sequence[Any]]:
    """Return the table under our names; a file's own column of that name gives way to the mapped one."""
    for ours, theirs in names.items():
        if theirs not in table:
            raise BadRunsError(f"{path}: column {ours}={theirs} is not there; there are {', '.join(table)}")
    taken = set(names.values())
    renamed = {name: values for name, values in table.items() if name not in taken and name not in names}
    renamed.update({ours: table[theirs] for ours, theirs in names.items()})
    if missing := [name for name in REQUIRED if name not in renamed]:
        raise BadRunsError(
            f"{path}: no column {', '.join(missing)}; there are {', '.join(table)}. "
            f"Map them: --column {missing[0]}=NAME"
        )
    return renamed


def _finished(table: dict[str, Sequence[Any]]) -> tuple[dict[str, Sequence[Any]], tuple[str, ...]]:
    """Return a study's runs that finished, and what is to be told; a table that is no study's as it is."""
    outcomes = [str(value) for value in table.get(OUTCOME, ())]
    if not outcomes or not _OUTCOMES.issuperset(outcomes):
        return table, ()
    kept = [at for at, outcome in enumerate(outcomes) if outcome == FINISHED]
    others = {name: values for name, values in table.items() if name != OUTCOME}
    rest: dict[str, Sequence[Any]] = {name: [values[at] for at in kept] for name, values in others.items()}
    if len(kept) == len(outcomes):
        return rest, ()
    return rest, (f"{len(outcomes) - len(kept)} of {len(outcomes)} runs diverged or failed, and are left out",)


def _numeric(table: Mapping[str, Sequence[Any]]) -> list[str]:
    return [name for name in (*REQUIRED, "flops", *OTHER_COLUMNS) if name in table]


def _numbers(path: Path, name: str, values: Sequence[Any]) -> Array:
    numbers = np.empty(len(values))
    least_ok = "≥ 0" if name in MAY_BE_ZERO else "> 0"
    for row, value in enumerate(values):
        try:
            if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
                raise ValueError(value)
            numbers[row] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise BadRunsError(f"{path}, row {row + 1}: {name} = {value!r} is not a number") from None
    if name == "seed":
        bad = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) > _MOST_SEED)
        if bad.any():
            row = int(np.argmax(bad))
            raise BadRunsError(f"{path}, row {row + 1}: seed = {values[row]}: must be a whole number below 2^53")
    else:
        bad = ~np.isfinite(numbers) | (numbers < 0.0) | ((numbers == 0.0) & (name not in MAY_BE_ZERO))
    if bad.any():
        row = int(np.argmax(bad))
        raise BadRunsError(
            f"{path}, row {row + 1}: {name} = {values[row]}: must be finite and {least_ok}. Runs that diverged or "
            "failed are no evidence for a law: leave them out"
        )
    if name in SANE:
        _refuse_insane(path, name, numbers)
    return numbers


def _refuse_insane(path: Path, name: str, numbers: Array) -> None:
    low, high = SANE[name]
    bad = (numbers != 0.0) & ((numbers < low) | (numbers > high))
    if bad.any():
        row = int(np.argmax(bad))
        raise BadRunsError(
            f"{path}, row {row + 1}: {name} = {numbers[row]:g}: must lie between {low:g} and {high:g}; is it in "
            "another unit, or from a run that failed?"
        )


def _refuse_few(path: Path, numbers: Mapping[str, Array]) -> None:
    count = len(numbers["loss"])
    if count < _FEWEST:
        raise BadRunsError(f"{path}: {count} runs cannot be fitted; even a line needs {_FEWEST}, and laws more")


def _refuse_many(path: Path, numbers: Mapping[str, Array]) -> None:
    count = len(numbers["loss"])
    if count > MOST_RUNS:
        raise BadRunsError(
            f"{path}: {count:,} runs are more than the {MOST_RUNS:,} that are fitted: aggregate them (one row for each "
            "run, or each thousandth point of a curve): points that close to each other tell nothing new"
        )


def _refuse_mixed_conventions(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    found = list(dict.fromkeys(str(value) for value in table.get("convention", ())))
    if len(found) > 1:
        row = [str(value) for value in table["convention"]].index(found[1])
        raise BadRunsError(
            f"{path}, row {row + 1}: convention = {found[1]!r}, but rows before it have {found[0]!r}: sizes that are "
            "counted in two ways cannot be fitted together; convert one kind, or fit them apart"
        )


def _refuse_one_budget(path: Path, runs: Runs) -> None:
    least, most = float(runs.flops.min()), float(runs.flops.max())
    if most <= least * _SAME_BUDGET:
        raise BadRunsError(
            f"{path}: all {len(runs)} runs have the same budget, {most:.3g} FLOPs: nothing can be said of another; add "
            "runs of at least one other budget"
        )


def _refuse_repeats(path: Path, runs: Runs) -> None:
    seen: dict[tuple[object, ...], int] = {}
    labels = [values for values in (runs.group, runs.seed) if values is not None]
    for row, key in enumerate(zip(runs.loss, *runs.columns().values(), *labels, strict=True)):
        if (first := seen.setdefault(key, row)) != row:
            raise BadRunsError(
                f"{path}, row {row + 1}: repeats row {first + 1} (params = {runs.params[row]:g}, tokens = "
                f"{runs.tokens[row]:g}, loss = {runs.loss[row]:g}): remove it, or give the runs seeds of their own"
            )


def _notes(
    path: Path, table: Mapping[str, Sequence[Any]], flops: Array, numbers: Mapping[str, Array]
) -> tuple[str, ...]:
    notes = []
    if unread := [name for name in table if name not in KNOWN]:
        notes.append(f"{path.name}: columns that nothing reads: {', '.join(unread)}")
    ratio = flops / (6.0 * numbers["params"] * numbers["tokens"])
    if ratio.max() > _CONSTANT_FACTOR * ratio.min():
        low, high = int(np.argmin(ratio)), int(np.argmax(ratio))
        notes.append(
            f"{path.name}: flops are {ratio[low]:.3g} to {ratio[high]:.3g} times 6 · params · tokens "
            f"(rows {low + 1} and {high + 1}): are params, tokens and flops of one convention?"
        )
    return tuple(notes)
