"""One process per database: a lock on a file beside it, which the kernel lets go of when the process dies."""

import fcntl
import os
import socket
import time
from pathlib import Path

from batch.errors import StoreError, StoreInUseError


class StoreLock:
    """Held from `acquire` until `release`. Not the database's own file: SQLite's locks there end with any close."""

    def __init__(self, database_path: Path) -> None:
        self._path = database_path.with_name(database_path.name + ".lock")
        self._descriptor: int | None = None
        self.holder = f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"

    def acquire(self) -> None:
        """Take it. Raises StoreInUseError naming who has it, StoreError when the file cannot be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise StoreInUseError(
                f"{self._path}: the queue is in use by {holder}: talk to that controller, or stop it first"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{self._path}: cannot be locked ({error.strerror}): keep the database on a local disk"
            ) from error
        self._descriptor = descriptor
        self._note_holder(descriptor)

    def release(self) -> None:
        """Let go of it; the file stays. A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _note_holder(self, descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self.holder.encode(), 0)
        except OSError:
            # A full disk: the lock holds all the same, only its holder goes unnamed.
            return
