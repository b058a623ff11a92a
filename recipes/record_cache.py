"""The local, bounded cache of decoded catalogues. One folder per content fingerprint; made once per node.

Processes agree by a lock on a file beside the folder. A folder appears by a rename when it is complete and on the
disk, so what is there is whole. The least recently used folders go when all together exceed the bound; a reader that
has mapped their files keeps what it mapped.
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from recipes.errors import RecordCacheError

T = TypeVar("T")
LOCK_TIMEOUT_S = 1800.0
"""How long a process waits while another one on this node fetches and decodes the same catalogue."""
_POLL_S = 0.02
_PREFIX = "catalogue-"
_LAYOUT = "v1"
"""Part of each folder's name: a version that lays arrays out otherwise must not read these."""


class RecordCache:
    """Folders of decoded records below `folder`, at most `max_bytes` together. Safe with many processes."""

    def __init__(self, folder: Path, max_bytes: int, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock_timeout_s = lock_timeout_s

    def use(self, fingerprint: str, fill: Callable[[Path], None], opened: Callable[[Path], T]) -> T:
        """Return `opened(folder)` of the entry `fingerprint`, which `fill(folder)` makes if it is not there.

        Blocks while another process fills the same entry. The entry is not removed before `opened` returns.
        Raises RecordCacheError, and whatever `fill` raises; then nothing is left behind.
        """
        name = f"{_PREFIX}{fingerprint}-{_LAYOUT}"
        entry = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(name):
                if not entry.is_dir():
                    self._fill(entry, fill)
                os.utime(entry)
                result = opened(entry)
            self._evict(keep=entry)
        except OSError as error:
            raise RecordCacheError(_explain(error, self._folder)) from error
        return result

    def require(self, size_bytes: int, what: str) -> None:
        """Raise RecordCacheError unless `size_bytes` fit at all."""
        if size_bytes > self._max_bytes:
            raise RecordCacheError(
                f"data.cache_max_bytes = {self._max_bytes}: {what} needs at least {size_bytes} bytes decoded"
            )

    def _fill(self, entry: Path, fill: Callable[[Path], None]) -> None:
        partial = entry.with_name(f"{entry.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed; the lock is ours
        partial.mkdir()
        try:
            fill(partial)
            _sync(partial)
            partial.rename(entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _evict(self, keep: Path) -> None:
        """Remove the least recently used entries until all fit; entries in someone's hands are passed over.

        Entries are known by their locks: whatever else the user keeps in this folder is left alone.
        """
        entries = [self._folder / lock.stem for lock in self._folder.glob(f"{_PREFIX}*.lock")]
        sizes_bytes = {path: _size_bytes(path) for path in entries}
        total_bytes = sum(sizes_bytes.values())
        for path in sorted(entries, key=_last_use_s):
            if total_bytes <= self._max_bytes:
                return
            if path != keep and self._remove(path):
                total_bytes -= sizes_bytes[path]

    def _remove(self, entry: Path) -> bool:
        try:
            with self._locked(entry.name, timeout_s=0.0):
                shutil.rmtree(entry, ignore_errors=True)
        except RecordCacheError:
            return False
        return True

    @contextmanager
    def _locked(self, name: str, timeout_s: float | None = None) -> Iterator[None]:
        """Hold the lock of an entry. The kernel releases it when the process ends, however it ends."""
        timeout_s = self._lock_timeout_s if timeout_s is None else timeout_s
        deadline_s = time.monotonic() + timeout_s
        path = self._folder / f"{name}.lock"
        with path.open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline_s:
                        raise RecordCacheError(
                            f"{path}: another process has held this lock for {timeout_s:.0f} s; is it still alive?"
                        ) from None
                    time.sleep(_POLL_S)
            yield


def default_cache_folder() -> Path:
    """Return `ostinato/records` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "records"


def _sync(folder: Path) -> None:
    """Bring the files of a folder to the disk: after a loss of power they must not be there and empty."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _size_bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except FileNotFoundError:  # removed by another process in the meantime
        return 0


def _last_use_s(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _explain(error: OSError, folder: Path) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{folder}: no space left for decoded records; free some, or set data.cache_folder to another disk"
    return f"{folder}: cannot keep decoded records here ({error}); set data.cache_folder to a writable folder"
