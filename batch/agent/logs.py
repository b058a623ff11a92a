"""Logs of attempts: pieces on request, and a copy in the pool's log store when an attempt is over."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from batch.agent.messages import MAX_LOG_CHUNK_BYTES, LogChunk, LogRequest


class LogStore:
    """Logs of attempts that are over, `<folder>/<uid>/<attempt>/rank-<r>.log`, where they outlive the jobs' folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, uid: int, attempt: int, rank: int) -> Path:
        """Return where the log of one process lies."""
        return self._folder / str(uid) / str(attempt) / f"rank-{rank}.log"

    def keep(self, uid: int, attempt: int, logs: Mapping[int, Path]) -> None:
        """Copy the logs of an attempt; repeating it is harmless. Blocking. Raises OSError."""
        for rank, source in logs.items():
            target = self.path(uid, attempt, rank)
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{target.name}")
            shutil.copyfile(source, aside)
            aside.replace(target)


def read_chunk(request: LogRequest, path: Path | None, *, is_over: bool) -> LogChunk:
    """Return what is asked for of the log at `path`, nothing when it is not there."""
    limit_bytes = min(max(request.limit_bytes, 0), MAX_LOG_CHUNK_BYTES)
    try:
        if path is None:
            raise FileNotFoundError
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # A negative offset counts from the end, as `tail` does.
            offset = max(0, size + request.offset) if request.offset < 0 else min(request.offset, size)
            file.seek(offset)
            data = file.read(limit_bytes)
    except OSError:
        return LogChunk(key=request.key, offset=0, is_over=is_over)
    return LogChunk(key=request.key, offset=offset, data=data, size_bytes=size, is_over=is_over)
