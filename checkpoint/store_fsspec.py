"""The store on any fsspec file system, s3fs included. The only file that imports fsspec.

Durability and the conditional put are what the file system gives: S3, GCS and Azure enforce conditions on the
server, local files are created exclusively. `probe_conditional_put` tells.
"""

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem

from checkpoint.errors import ObjectMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from checkpoint.store import ObjectInfo, check_key

_Result = TypeVar("_Result")

_BLOCK_BYTES = 16 * 2**20
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 5, "mode": "standard"}}
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_CREATE_LOCK = threading.Lock()
"""In-process file systems look whether a file exists and then create it, in two steps."""


class FsspecStore:
    """Objects as files of an fsspec file system. Calls are given up after `timeout_s`, streams by part."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Open `url`, for example `memory://run` or `s3://bucket/run`; sends no request.

        Raises StoreError when there is no such file system, or it does not know an option.
        """
        options = dict(storage_options or {})
        self.url = url
        self._timeout_s = float(options.pop("timeout_s", 300.0))
        protocol = url.partition("://")[0]
        if protocol in {"s3", "s3a"}:
            options["config_kwargs"] = _S3_CONFIG | dict(options.get("config_kwargs", {}))
        try:
            self._fs, self._root = fsspec.core.url_to_fs(
                url, **options, use_listings_cache=False, skip_instance_cache=True
            )
        except (ImportError, ValueError, TypeError) as error:
            raise StoreError(f"{url}: cannot open this file system: {error}") from error
        self._remote = isinstance(self._fs, AsyncFileSystem)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """See Store."""
        path = self._path(key)
        self._call(key, lambda: self._prepare(path))
        self._call(key, lambda: self._fs.pipe_file(path, bytes(data)))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store."""
        path = self._path(key)
        self._call(key, lambda: self._prepare(path))
        try:
            self._call(key, lambda: self._create(path, data))
        except FileExistsError:
            # Clients repeat requests; the object that is in the way may be our own.
            return bool(self._remote) and self.get(key) == data
        except StoreUnavailable:
            with contextlib.suppress(StoreError):
                if self.get(key) == data:
                    return True
            raise
        return True

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """See Store."""
        path = self._path(key)
        self._call(key, lambda: self._prepare(path))
        file = self._call(key, lambda: self._fs.open(path, "wb", block_size=_BLOCK_BYTES, autocommit=False))
        try:
            for part in parts:
                self._call(key, partial(file.write, part.cast("B")))
            self._call(key, file.close)
            self._call(key, file.commit)
        except BaseException:
            self._discard(key, file)
            raise

    def get(self, key: str) -> bytes:
        """See Store."""
        path = self._path(key)
        return bytes(self._call(key, lambda: self._fs.cat_file(path)))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """See Store."""
        path = self._path(key)
        size = self._call(key, lambda: int(self._fs.size(path)))
        # Servers call a range that begins past the end an error, so none is asked for.
        inside = [(start, min(stop, size)) for start, stop in ranges if start < size]
        starts, stops = [start for start, _ in inside], [stop for _, stop in inside]
        data = iter(
            self._call(
                key, lambda: self._fs.cat_ranges([path] * len(inside), starts, stops, on_error="raise")
            )
        )
        return [memoryview(next(data) if start < size else b"") for start, _ in ranges]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        folder = f"{self._root}/{prefix.rpartition('/')[0]}".rstrip("/")
        found = self._call(prefix, lambda: self._find(folder))
        infos = (
            ObjectInfo(path.removeprefix(self._root).lstrip("/"), int(info["size"]), _modified_s(info))
            for path, info in found.items()
            if info["type"] == "file"
        )
        return iter(
            sorted((info for info in infos if info.key.startswith(prefix)), key=lambda info: info.key)
        )

    def delete(self, keys: Iterable[str]) -> None:
        """See Store."""
        for key in keys:
            with contextlib.suppress(ObjectMissing):
                self._call(key, partial(self._fs.rm_file, self._path(key)))

    def abort_uploads(self, older_than_s: float) -> int:
        """See Store. Only S3 lists unfinished uploads; elsewhere the service drops them, or a rule."""
        if not hasattr(self._fs, "list_multipart_uploads"):
            return 0
        bucket, _, prefix = self._root.partition("/")
        uploads = self._call("", lambda: self._fs.list_multipart_uploads(bucket))
        before_s = time.time() - older_than_s
        stale = [
            upload
            for upload in uploads
            if upload["Key"].startswith(prefix) and upload["Initiated"].timestamp() < before_s
        ]
        for upload in stale:
            with contextlib.suppress(ObjectMissing):
                name = upload["Key"]
                self._call(name, partial(self._fs.abort_mpu, bucket, name, upload["UploadId"]))
        return len(stale)

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    def _prepare(self, path: str) -> None:
        """Create the folder, where folders are real."""
        if not self._remote:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _create(self, path: str, data: bytes) -> None:
        if self._remote:
            try:
                self._fs.pipe_file(path, data, mode="create")
            except OSError as error:
                # s3fs has no error for a refused condition: it makes botocore's an "invalid argument".
                response = getattr(error.__cause__, "response", {})
                if response.get("Error", {}).get("Code") == "PreconditionFailed":
                    raise FileExistsError(path) from error
                raise
            return
        with _CREATE_LOCK, self._fs.open(path, "xb") as file:
            file.write(data)

    def _discard(self, key: str, file: Any) -> None:  # noqa: ANN401 - each file system has its own class
        """Drop an unfinished file; where the file system shows it already, delete it."""
        with contextlib.suppress(StoreError):
            self._call(key, file.discard)
        # Without this s3fs would upload the rest when the object is collected.
        with contextlib.suppress(AttributeError):
            file.closed = True
        with contextlib.suppress(StoreError):
            self.delete([key])

    def _find(self, folder: str) -> dict[str, Any]:
        try:
            return dict(self._fs.find(folder, detail=True))
        except FileNotFoundError:
            if self._remote:
                raise
            return {}

    def _call(self, key: str, function: Callable[[], _Result]) -> _Result:
        """Return `function()`, given up after the deadline; FileExistsError passes, others become ours."""
        future: Future[_Result] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                future.set_exception(error)

        # Not a pool's thread: when the interpreter ends it waits for pools, even for a hung call.
        threading.Thread(target=work, daemon=True, name="fsspec-store").start()
        where = f"{self.url}/{key}"
        try:
            return future.result(self._timeout_s)
        except FileExistsError:
            raise
        except TimeoutError as error:
            raise StoreUnavailable(f"{where}: no answer within {self._timeout_s:g} s") from error
        except Exception as error:
            raise _translated(error, where) from error


def _translated(error: Exception, where: str) -> StoreError:
    text = f"{where}: {type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        return StoreError(text) if "bucket" in str(error) else ObjectMissing(text)
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return StoreDenied(text)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreFull(text)
    return StoreUnavailable(text)


def _modified_s(info: Mapping[str, Any]) -> float:
    """Return the time of last change. Now, when the file system has none: never old enough to be swept."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return time.time()
