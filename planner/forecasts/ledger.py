"""The ledger of forecasts: each is written before its run starts, and cannot be edited afterwards unnoticed.

A file of JSON lines that only grows. Each entry carries the hash of the one before it, so that to change, remove, add
or move a line breaks the chain from there on. What a chain cannot show is that its newest entries were cut off: its
head, the number and hash of the last entry, is kept in a file beside it, and every reading is held against that. Who
would lose both files with the folder notes heads elsewhere (`plan sweep` hands them to the queue with the jobs) and
gives them to `Ledger.expect`.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from planner.errors import LedgerError
from planner.forecasts.ledger_entries import GENESIS, Body, Entry, Forecast, Outcome, Result, parse

LOCK_TIMEOUT_S = 10.0
_LOCK_POLL_S = 0.01
CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock may have gone back since the entry before: less is what clocks do, more is another story."""


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries a ledger has, and the hash of the last."""

    entries: int
    hash: str

    def __str__(self) -> str:
        return f"{self.entries}:{self.hash}"

    @staticmethod
    def parse(text: str) -> "Head":
        """Return what `str` wrote. Raises LedgerError."""
        number, _, digest = text.strip().partition(":")
        if not (number.isascii() and number.isdigit() and digest):
            raise LedgerError(f"{text!r} is no head of a ledger: must be a number and a hash, 12:4fa0...")
        return Head(int(number), digest)


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """A ledger in a file on a local disk. Several processes may write to it; each call reads what others wrote.

    Every method raises LedgerError where the file was damaged or edited, naming the line.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")
        self._clock = clock

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, checked from the first; none if there is no file yet."""
        return self._read()[0]

    @property
    def torn_bytes(self) -> int:
        """How much of an unfinished last line a crash left behind. Nobody was told it was written; reading skips it."""
        return self._read()[1]

    @property
    def head(self) -> Head:
        """What to note elsewhere."""
        return _head(self.entries())

    def expect(self, head: Head) -> None:
        """Raise LedgerError unless the ledger goes on from `head`, which was noted earlier."""
        self._expect(head, self.entries(), "when that was noted")

    def _expect(self, head: Head, entries: tuple[Entry, ...], when: str) -> None:
        if _head(entries[: head.entries]) == head:
            return
        what = f"{self.path}: had {head.entries} entries ending in {head.hash[:12]} {when}, and now has {len(entries)}"
        missing = head.entries - len(entries)
        if missing > 0:
            lost = f"entry {head.entries} is" if missing == 1 else f"entries {len(entries) + 1} to {head.entries} are"
            raise LedgerError(f"{what}: {lost} missing: it was cut; restore it from a copy")
        raise LedgerError(f"{what} with another history: it was rewritten; restore it from a copy")

    def record_forecast(self, forecast: Forecast) -> Entry:
        """Append `forecast` and return its entry once it is on disk. The same forecast again changes nothing.

        Call it before the run is submitted. Raises LedgerError when the run has another forecast of this law, or a
        result.
        """
        with self._locked() as descriptor:
            entries, _ = self._read()
            for entry in entries:
                if entry.body.run != forecast.run:
                    continue
                if isinstance(entry.body, Result):
                    raise LedgerError(
                        f"{self.path}: line {entry.number + 1} has the result of {forecast.run}: what is said now is "
                        "no forecast"
                    )
                if entry.body.law == forecast.law:
                    return _same(entry, forecast, f"{self.path}: the forecast of {forecast.run} by {forecast.law}")
            return self._append(descriptor, entries, forecast, ())

    def record_result(self, result: Result) -> Entry:
        """Append `result` and return its entry once it is on disk. The same result again changes nothing.

        A failed or diverged run may be tried again: its results follow one another, until one is finished. Raises
        LedgerError when the run was not forecast, or has finished otherwise.
        """
        with self._locked() as descriptor:
            entries, _ = self._read()
            of_run = [entry for entry in entries if entry.body.run == result.run]
            answers = tuple(entry.hash for entry in of_run if isinstance(entry.body, Forecast))
            if not answers:
                raise LedgerError(f"{self.path}: no forecast of {result.run}: there is nothing that its result answers")
            last = of_run[-1]
            is_final = isinstance(last.body, Result) and last.body.outcome is Outcome.FINISHED
            if is_final or last.body.to_json() == result.to_json():
                return _same(last, result, f"{self.path}: the result of {result.run}")
            return self._append(descriptor, entries, result, answers)

    def _append(self, descriptor: int, entries: tuple[Entry, ...], body: Body, answers: tuple[str, ...]) -> Entry:
        entry = Entry.sealed(len(entries), self._clock(), body, answers, _head(entries).hash)
        if _goes_back(entries, entry):
            raise LedgerError(
                f"{self.path}: the clock says {entry.at:%Y-%m-%d %H:%M}, and the last entry was written at "
                f"{entries[-1].at:%Y-%m-%d %H:%M}: set the clock, then repeat"
            )
        end = sum(len(before.line()) for before in entries)
        try:
            os.ftruncate(descriptor, end)
            written = os.pwrite(descriptor, entry.line(), end)
            os.fsync(descriptor)
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be written: {error.strerror}; nothing was promised") from error
        if written != len(entry.line()):
            raise LedgerError(f"{self.path}: the disk took {written} bytes of {len(entry.line())}: make space, repeat")
        self._keep_head(_head((*entries, entry)))
        return entry

    def _keep_head(self, head: Head) -> None:
        """Write the head beside the entries, which are on disk: after a crash in between it is only an older one."""
        partial = self.head_path.with_suffix(".head.partial")
        try:
            with partial.open("w", encoding="ascii") as file:
                file.write(f"{head}\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.head_path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise LedgerError(f"{self.head_path}: cannot be written: {error.strerror}") from error

    def _kept_head(self) -> Head:
        try:
            return Head.parse(self.head_path.read_text(encoding="ascii", errors="replace"))
        except FileNotFoundError:
            return _head(())
        except OSError as error:
            raise LedgerError(f"{self.head_path}: cannot be read: {error.strerror}") from error
        except LedgerError as error:
            raise LedgerError(f"{self.head_path}: {error}") from None

    def _read(self) -> tuple[tuple[Entry, ...], int]:
        kept = self._kept_head()  # before the entries: others may be writing, and those must be at least as far
        entries, torn_bytes = self._read_chain()
        self._expect(kept, entries, f"by {self.head_path.name}")
        return entries, torn_bytes

    def _read_chain(self) -> tuple[tuple[Entry, ...], int]:
        try:
            *lines, torn = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return (), 0
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be read: {error.strerror}") from error
        entries: list[Entry] = []
        for number, line in enumerate(lines):
            try:
                entry = parse(line, number, _head(entries).hash)
                if _goes_back(entries, entry):
                    raise LedgerError(f"is of {entry.at}, long before the line above, of {entries[-1].at}")
                entries.append(entry)
            except LedgerError as error:
                raise LedgerError(
                    f"{self.path}: line {number + 1} {error}; the {number} lines before it are as they were written"
                ) from None
        return tuple(entries), len(torn)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the file open for writing, alone, for at most one append. Waits up to LOCK_TIMEOUT_S."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be opened: {error.strerror}") from error
        try:
            self._take(descriptor)
            _sync_folder(self.path.parent)
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise LedgerError(
                        f"{self.path}: another process has held it for {LOCK_TIMEOUT_S:g} s: let it end, then repeat"
                    ) from None
                time.sleep(_LOCK_POLL_S)
            except OSError as error:
                raise LedgerError(
                    f"{self.path}: cannot be locked ({error.strerror}): keep it on a local disk"
                ) from error
            else:
                return


def _goes_back(entries: Sequence[Entry], entry: Entry) -> bool:
    return bool(entries) and entry.at < entries[-1].at - CLOCK_SKEW


def _head(entries: tuple[Entry, ...] | list[Entry]) -> Head:
    return Head(len(entries), entries[-1].hash if entries else GENESIS)


def _same(entry: Entry, body: Body, what: str) -> Entry:
    if entry.body.to_json() != body.to_json():
        raise LedgerError(
            f"{what} was written on {entry.at:%Y-%m-%d %H:%M} (line {entry.number + 1}) and stays as it is; "
            "what is new needs a run or law of another name"
        )
    return entry


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
