"""Traces on disk, strictly read: a line that cannot be meant is an error with its place, value and what is allowed.

| format | where from | columns |
|---|---|---|
| philly | Microsoft Philly, flattened by Sia | timestamp, duration, num_gpus, gpu_time, cluster |
| gavel | stanford-futuredata/gavel | tabs: job type, command, steps argument, needs data, steps, arrival, gang |
| tiresias | SymbioticLab/Tiresias | job_id, num_gpu, submit_time, iterations, model_name, duration, interval |
| ostinato | `export.py`, from a live journal | uid, submit_s, duration_s, chips, team |

Philly's virtual clusters are our teams. Gavel records steps, not seconds: its own table of throughputs
(simulation_throughputs.json) says how many steps a second a job type does on an accelerator.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from batch.errors import BadTraceError
from batch.simulator.job_trace import Row, Trace

PHILLY_COLUMNS = ("timestamp", "duration", "num_gpus", "gpu_time", "cluster")
TIRESIAS_COLUMNS = ("job_id", "num_gpu", "submit_time", "iterations", "model_name", "duration", "interval")
OSTINATO_COLUMNS = ("uid", "submit_s", "duration_s", "chips", "team")
GAVEL_ACCELERATOR = "v100"
_GAVEL_FIELDS = 7
_ONE_TEAM = "default"


class TraceFormat(StrEnum):
    """The formats that can be read."""

    PHILLY = "philly"
    GAVEL = "gavel"
    TIRESIAS = "tiresias"
    OSTINATO = "ostinato"


class Line:
    """One line of a trace, with where it is; reading a value that cannot be meant raises BadTraceError."""

    def __init__(self, path: Path, number: int, values: dict[str, str]) -> None:
        self._where = f"{path}:{number}"
        self._values = values

    def error(self, name: str, allowed: str) -> BadTraceError:
        """Return the error that says where, the value, and what is allowed."""
        return BadTraceError(f"{self._where}: {name} = {self._values[name]!r}: must be {allowed}")

    def text(self, name: str) -> str:
        """Return a value that is not empty."""
        value = self._values[name].strip()
        if not value:
            raise self.error(name, "a name")
        return value

    def number(self, name: str, *, least: float = 0.0) -> float:
        """Return a finite number of at least `least`."""
        try:
            value = float(self._values[name])
        except ValueError:
            raise self.error(name, f"a number, at least {least:g}") from None
        if not (math.isfinite(value) and value >= least):
            raise self.error(name, f"a finite number, at least {least:g}")
        return value

    def chips(self, name: str) -> int:
        """Return a whole number of at least 1."""
        value = self.number(name, least=1.0)
        if value != int(value):
            raise self.error(name, "a whole number, at least 1")
        return int(value)

    def time_s(self, name: str) -> float:
        """Return a date and time, UTC unless it says otherwise, as epoch seconds."""
        try:
            time = datetime.fromisoformat(self._values[name])
        except ValueError:
            raise self.error(name, "a date and time such as 2017-10-01 12:00:00") from None
        return time.replace(tzinfo=time.tzinfo or UTC).timestamp()


def read_trace(path: Path, trace_format: TraceFormat, *, throughputs: Path | None = None) -> Trace:
    """Return the trace in `path`. Raises BadTraceError. `throughputs` is for, and only for, gavel."""
    if (trace_format is TraceFormat.GAVEL) != (throughputs is not None):
        raise BadTraceError(
            f"{path} ({trace_format}): a table of throughputs is needed for gavel, which records steps and not "
            "seconds, and for no other format; give --throughputs simulation_throughputs.json from where the trace came"
        )
    if throughputs is not None:
        rows = list(_gavel_rows(path, _gavel_rates(throughputs)))
    else:
        columns, parse = _CSV_FORMATS[trace_format]
        rows = [parse(line) for line in _csv_lines(path, columns)]
    if not rows:
        raise BadTraceError(f"{path}: holds no job; must have at least one line below its header")
    return Trace.of(rows, _start_s(rows, trace_format))


def _start_s(rows: list[Row], trace_format: TraceFormat) -> float:
    """Dates begin at the first job's midnight, offsets at 0."""
    if trace_format in {TraceFormat.GAVEL, TraceFormat.TIRESIAS}:
        return 0.0
    return math.floor(min(row[0] for row in rows) / 86400.0) * 86400.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadTraceError(f"{path}: no such file; must be a recorded trace") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadTraceError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _csv_lines(path: Path, columns: tuple[str, ...]) -> Iterator[Line]:
    reader = csv.reader(_text(path).splitlines())
    header = tuple(next(reader, []))
    if header != columns:
        raise BadTraceError(f"{path}:1: header = {','.join(header)!r}: must be {','.join(columns)!r}")
    for values in reader:
        if len(values) != len(columns):
            raise BadTraceError(f"{path}:{reader.line_num}: {len(values)} values: must be {len(columns)} as above")
        yield Line(path, reader.line_num, dict(zip(columns, values, strict=True)))


def _philly_row(line: Line) -> Row:
    return line.time_s("timestamp"), line.number("duration"), line.chips("num_gpus"), line.text("cluster")


def _tiresias_row(line: Line) -> Row:
    return line.number("submit_time"), line.number("duration"), line.chips("num_gpu"), _ONE_TEAM


def _ostinato_row(line: Line) -> Row:
    return line.number("submit_s"), line.number("duration_s"), line.chips("chips"), line.text("team")


_CSV_FORMATS: dict[TraceFormat, tuple[tuple[str, ...], Callable[[Line], Row]]] = {
    TraceFormat.PHILLY: (PHILLY_COLUMNS, _philly_row),
    TraceFormat.TIRESIAS: (TIRESIAS_COLUMNS, _tiresias_row),
    TraceFormat.OSTINATO: (OSTINATO_COLUMNS, _ostinato_row),
}


def _gavel_rows(path: Path, rates: dict[str, float]) -> Iterator[Row]:
    for number, text in enumerate(_text(path).splitlines(), start=1):
        fields = text.split("\t")
        if len(fields) != _GAVEL_FIELDS:
            raise BadTraceError(f"{path}:{number}: {len(fields)} fields: must be {_GAVEL_FIELDS}, separated by tabs")
        line = Line(path, number, {"job type": fields[0], "steps": fields[4], "arrival": fields[5], "gang": fields[6]})
        chips = line.chips("gang")
        rate = rates.get(f"('{line.text('job type')}', {chips})")
        if rate is None:
            raise line.error("job type", f"one that the table of throughputs knows for a gang of {chips}")
        yield line.number("arrival"), line.number("steps") / rate, chips, path.stem


def _gavel_rates(path: Path) -> dict[str, float]:
    """Return steps per second of each "('job type', gang)" alone on Gavel's fastest accelerator."""
    try:
        table: Any = json.loads(_text(path))
        rates = {key: float(beside["null"]) for key, beside in table[GAVEL_ACCELERATOR].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTraceError(
            f"{path}: not a table of throughputs ({type(error).__name__}: {error}): must be "
            f"{{'{GAVEL_ACCELERATOR}': {{\"('job type', gang)\": {{'null': steps per second}}}}}}"
        ) from error
    return {key: rate for key, rate in rates.items() if rate > 0}
