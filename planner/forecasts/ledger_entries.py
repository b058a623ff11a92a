"""What a ledger of forecasts holds: forecasts, results, and the hash by which each entry seals all before it."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from planner.errors import BadInputError, LedgerError

GENESIS = hashlib.sha256(b"ostinato: ledger of forecasts, 1").hexdigest()
"""What the first entry names as the one before it."""


class Outcome(StrEnum):
    """How a forecast run ended. All three are kept."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Predicted:
    """One forecast quantity in the unit that its name says, and its intervals as (level, low, high)."""

    value: float
    intervals: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        """Raise BadInputError unless all is positive and finite, levels are in (0, 1) and intervals hold the value."""
        if not (math.isfinite(self.value) and self.value > 0):
            raise BadInputError(f"forecast of {self.value}: must be positive and finite")
        for level, low, high in self.intervals:
            if not (0 < level < 1 and 0 < low <= self.value <= high < math.inf):
                raise BadInputError(
                    f"interval ({level}, {low}, {high}) of the forecast {self.value}: needs a level between 0 and 1 "
                    "and positive ends on both sides of the forecast"
                )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        intervals = [[float(number) for number in interval] for interval in self.intervals]
        return {"value": float(self.value), "intervals": intervals}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Predicted":
        """Return what `to_json` wrote."""
        return Predicted(float(value["value"]), tuple((float(a), float(b), float(c)) for a, b, c in value["intervals"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is believed of a run before it starts."""

    run: str
    """The run's id: the hash of its resolved configuration and seed."""
    law: str
    """Who forecasts, with its version: `ensemble-1`, `approach3-1`. A run may have one forecast of each."""
    inputs_hash: str
    """Of the evidence that was used."""
    quantities: Mapping[str, Predicted]
    """By name with its unit: `loss`, `time_s`, `memory_bytes`, `cost_usd`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is worth keeping, in JSON's values: parameters, tokens, compute, the compute of the evidence."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        quantities = {name: predicted.to_json() for name, predicted in self.quantities.items()}
        return {
            "run": self.run, "law": self.law, "inputs_hash": self.inputs_hash, "quantities": quantities,
            "facts": dict(self.facts),
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Forecast":
        """Return what `to_json` wrote."""
        quantities = {name: Predicted.from_json(predicted) for name, predicted in value["quantities"].items()}
        return Forecast(
            run=value["run"], law=value["law"], inputs_hash=value["inputs_hash"], quantities=quantities,
            facts=value["facts"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out of a run that was forecast."""

    run: str
    outcome: Outcome
    measured: Mapping[str, float] = field(default_factory=dict)
    """By the names of the forecast's quantities. A diverged run's loss is left out."""
    started: datetime | None = None
    """When its first attempt began, with a time zone. A forecast written later than that is not scored."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is worth keeping: the error of a failed run, attempts, the machine."""

    def __post_init__(self) -> None:
        """Raise BadInputError unless what was measured is positive and finite and `started` has a time zone."""
        for name, value in self.measured.items():
            if not (math.isfinite(value) and value > 0):
                raise BadInputError(f"result of {self.run}: {name} = {value}: must be positive; leave it out")
        if self.started is not None and self.started.tzinfo is None:
            raise BadInputError(f"result of {self.run}: started = {self.started}: needs a time zone")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        started = None if self.started is None else self.started.isoformat()
        return {
            "run": self.run, "outcome": self.outcome.value,
            "measured": {name: float(value) for name, value in self.measured.items()},
            "started": started, "facts": dict(self.facts),
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Result":
        """Return what `to_json` wrote."""
        started = None if value["started"] is None else datetime.fromisoformat(value["started"])
        return Result(
            run=value["run"], outcome=Outcome(value["outcome"]), measured=value["measured"], started=started,
            facts=value["facts"],
        )  # fmt: skip


Body: TypeAlias = Forecast | Result

_READERS: Mapping[str, Callable[[Mapping[str, Any]], Body]] = {
    "forecast": Forecast.from_json,
    "result": Result.from_json,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger."""

    number: int
    at: datetime
    body: Body
    answers: tuple[str, ...]
    """Of a result: the hashes of the forecasts of its run. Of a forecast: nothing."""
    previous: str
    hash: str

    @staticmethod
    def sealed(number: int, at: datetime, body: Body, answers: tuple[str, ...], previous: str) -> "Entry":
        """Return an entry with its hash. Raises BadInputError where a fact is no value of JSON."""
        try:
            digest = hashlib.sha256(_canonical(_content(number, at, body, answers, previous))).hexdigest()
        except (TypeError, ValueError) as error:
            raise BadInputError(f"{body.run}: the facts of a ledger's entry must be values of JSON: {error}") from error
        return Entry(number, at, body, answers, previous, digest)

    def line(self) -> bytes:
        """Return the line as it is written, with its end."""
        content = _content(self.number, self.at, self.body, self.answers, self.previous)
        return _canonical({**content, "hash": self.hash}) + b"\n"


def parse(line: bytes, number: int, previous: str) -> Entry:
    """Return the entry that `line` holds. Raises LedgerError, in words that follow "line 3: ", unless it is sealed.

    Byte for byte: another spelling of the same values is an edit too.
    """
    try:
        value = json.loads(line)
        body = _READERS[value["kind"]](value["body"])
        at = datetime.fromisoformat(value["at"])
        entry = Entry.sealed(value["number"], at, body, tuple(value["answers"]), value["previous"])
        written = value["hash"]
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, BadInputError) as error:
        raise LedgerError(f"is no entry ({type(error).__name__}: {error})") from None
    if entry.previous != previous or entry.number != number:
        raise LedgerError(
            f"is entry {entry.number} after {entry.previous[:12]}, but what stands before it is entry {number - 1} "
            f"{previous[:12]}: entries were taken away, added or moved"
        )
    if entry.hash != written or entry.line() != line + b"\n":
        raise LedgerError(f"was changed after it was written: its hash is {entry.hash[:12]}, it says {written[:12]}")
    return entry


def _content(number: int, at: datetime, body: Body, answers: tuple[str, ...], previous: str) -> dict[str, Any]:
    return {
        "number": number, "at": at.isoformat(), "kind": "forecast" if isinstance(body, Forecast) else "result",
        "body": body.to_json(), "answers": list(answers), "previous": previous,
    }  # fmt: skip


def _canonical(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
