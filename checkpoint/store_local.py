"""The store on a file system: a temporary file, fsync, link or rename into place, fsync of the folder.

`link` never replaces, so it is the conditional put: of several writers one wins, whole, whatever crashes.
"""

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from checkpoint.errors import ObjectMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from checkpoint.store import ObjectInfo, check_key

_PARTIAL = ".partial"
"""Folder of temporary files, below the root so that a link from it does not cross file systems."""
_MAX_TRIES = 5

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


class LocalStore:
    """Objects as files below one folder, which is created when something is first written.

    The kernel gives file operations no deadline: on a network mount, use one that returns errors (`soft`).
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self.url = str(self._root)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """See Store."""
        self.put_stream(key, [memoryview(data)])

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store. Raises StoreError on file systems without hard links."""
        target = self._path(key)
        with self._errors(key), self._temporary([memoryview(data)]) as temporary:
            try:
                self._into_place(lambda: os.link(temporary, target), target)
            except FileExistsError:
                # NFS repeats a request whose answer was lost, and then finds its own link: the count tells.
                return temporary.stat().st_nlink > 1
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise StoreError(
                        f"{self.url}: no hard links on this file system, so that a commit cannot be atomic: "
                        f"put checkpoints on another one ({error.strerror})"
                    ) from error
                raise
        return True

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """See Store."""
        target = self._path(key)
        with self._errors(key), self._temporary(parts) as temporary:
            self._into_place(lambda: temporary.replace(target), target)

    def get(self, key: str) -> bytes:
        """See Store."""
        with self._errors(key):
            return self._path(key).read_bytes()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """See Store. One after the other: callers that want several at a time use threads."""
        with self._errors(key), self._path(key).open("rb", buffering=0) as file:
            return [_read_range(file.fileno(), start, stop) for start, stop in ranges]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        folder = self._root / prefix.rpartition("/")[0]
        with self._errors(prefix):
            return iter(sorted(self._walk(folder, prefix), key=lambda found: found.key))

    def delete(self, keys: Iterable[str]) -> None:
        """See Store. Folders that become empty go too."""
        for key in keys:
            path = self._path(key)
            with self._errors(key):
                path.unlink(missing_ok=True)
                self._remove_empty(path.parent)

    def abort_uploads(self, older_than_s: float) -> int:
        """See Store."""
        before_s, count = time.time() - older_than_s, 0
        with self._errors(_PARTIAL), contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._root / _PARTIAL):
                # A writer that is alive may finish, and so remove its file, at any moment.
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < before_s:
                        Path(entry.path).unlink()
                        count += 1
        return count

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn the operating system's errors into ours."""
        where = f"{self.url}/{key}"
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"{where}: no such object") from error
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(
                    f"{where}: {error.strerror}: free space, or set checkpoint.url elsewhere"
                ) from error
            if error.errno in _DENIED:
                raise StoreDenied(f"{where}: {error.strerror}: check owner and mode of the folder") from error
            if isinstance(error, NotADirectoryError | IsADirectoryError):
                raise StoreError(f"{where}: {error.strerror}: {error.filename}") from error
            raise StoreUnavailable(f"{where}: {error}") from error

    @contextlib.contextmanager
    def _temporary(self, parts: Iterable[memoryview]) -> Iterator[Path]:
        """Write `parts` to a new file, durable; remove it afterwards unless it was renamed."""
        folder = self._root / _PARTIAL
        _make_folder(folder)
        path = folder / uuid.uuid4().hex
        try:
            with path.open("xb", buffering=0) as file:
                for part in parts:
                    _write_all(file.fileno(), part.cast("B"))
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _into_place(self, move: Callable[[], object], target: Path) -> None:
        """Call `move` until the folder of `target` exists: a sweep may remove an empty one at any moment."""
        for _ in range(_MAX_TRIES):
            _make_folder(target.parent)
            with contextlib.suppress(FileNotFoundError):
                move()
                _sync_folder(target.parent)
                return
        raise StoreUnavailable(f"{target.parent}: keeps disappearing; is something deleting it?")

    def _walk(self, folder: Path, prefix: str) -> Iterator[ObjectInfo]:
        for path, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            relative = Path(path).relative_to(self._root).as_posix()
            for name in names:
                key = name if relative == "." else f"{relative}/{name}"
                if key.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        status = Path(path, name).stat()
                        yield ObjectInfo(key, status.st_size, status.st_mtime)

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _read_range(descriptor: int, start: int, stop: int) -> memoryview:
    """Read `[start, stop)`, in as few calls as the kernel allows (2 GiB each)."""
    data = os.pread(descriptor, stop - start, start)
    if len(data) == stop - start or not data:
        return memoryview(data)
    parts = [data]
    position = start + len(data)
    while position < stop and (data := os.pread(descriptor, stop - position, position)):
        parts.append(data)
        position += len(data)
    return memoryview(b"".join(parts))


def _write_all(descriptor: int, data: memoryview) -> None:
    position = 0
    while position < data.nbytes:
        position += os.write(descriptor, data[position:])


def _make_folder(folder: Path) -> None:
    """Create `folder` and what is missing above it, each durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
