"""The append-only event log of a run: one JSON object a line, one write per event."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainer.errors import RunFolderError

Event = dict[str, Any]
Observer = Callable[[Event], None]


class EventLog:
    """Appends events of one process to a file that all processes of the run share.

    Each event is one `write` to a descriptor in append mode, so that lines of several processes do not mix and
    a process killed at any moment leaves whole lines behind it (a torn last line is skipped by readers).
    """

    def __init__(self, path: Path, *, run: str, rank: int | None = None, **always: Any) -> None:
        self._path = path
        self._always = {"run": run, "rank": rank, **always}
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes and os.pread(self._descriptor, 1, size_bytes - 1) != b"\n":
            os.write(self._descriptor, b"\n")  # a torn last line must not swallow our first

    def write(self, event: str, **fields: Any) -> Event:
        """Append one event and return it. `time_s` is epoch seconds; floats keep full precision.

        Raises RunFolderError when there is no space for it.
        """
        line: Event = {"event": event, "time_s": time.time(), **self._always, **fields}
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise RunFolderError(f"{self._path}: {error.strerror}; make room and resume the run") from error
        if written < len(data):
            raise RunFolderError(f"{self._path}: no space left for a whole line; make room and resume the run")
        return line

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_events(path: Path, offset_bytes: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield each complete event after `offset_bytes`, with the offset behind it.

    Stops at an unfinished last line, so that a follower can call again with the last offset. Lines that are not
    JSON (the torn end of a killed writer, glued to the next line) are skipped.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset_bytes)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset_bytes += len(line)
            event = _parse(line)
            if event is not None:
                yield event, offset_bytes


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
