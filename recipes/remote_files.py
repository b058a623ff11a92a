"""Reading and writing whole files on any fsspec URL, each call with a deadline. The only file that knows fsspec."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from recipes.errors import UnreachableError

T = TypeVar("T")
CALL_TIMEOUT_S = 120.0
"""Deadline of one call, long enough for a large shard; retries inside it are those of the protocol's client."""


class RemoteFolder:
    """A folder by path or fsspec URL. Methods block, and raise UnreachableError unless they say otherwise."""

    def __init__(
        self, url: str, storage_options: Mapping[str, Any] | None = None, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._files, self._root = self._call("open", lambda: url_to_fs(self.url, **(storage_options or {})))

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises FileNotFoundError when there is none."""
        data: bytes = self._call(f"read {name}", lambda: self._files.cat_file(f"{self._root}/{name}"))
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file, replacing one of that name at once: a reader sees the old content or the new."""
        path = f"{self._root}/{name}"
        if isinstance(self._files, LocalFileSystem):
            self._call(f"write {name}", lambda: self._write_local(path, data))
        else:
            self._call(f"write {name}", lambda: self._files.pipe_file(path, data))

    def delete(self, name: str) -> None:
        """Delete a file; one that does not exist is no error."""
        try:
            self._call(f"delete {name}", lambda: self._files.rm_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return

    def _write_local(self, path: str, data: bytes) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        self._files.pipe_file(f"{path}.partial", data)
        self._files.mv(f"{path}.partial", path)

    def _call(self, what: str, call: Callable[[], T]) -> T:
        """Run `call` in a thread of its own: fsspec has no deadline, and a client may be stuck in a socket."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                errors.append(error)

        thread = threading.Thread(target=run, name=f"recipes: {what}", daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if results:
            return results[0]
        if not errors:
            raise UnreachableError(f"{self.url}: {what}: no answer within {self._timeout_s:.0f} s")
        if isinstance(errors[0], FileNotFoundError):
            raise errors[0]
        reason = f"{type(errors[0]).__name__}: {errors[0]}"
        raise UnreachableError(
            f"{self.url}: cannot {what}: {reason}. Check the address, data.storage_options, credentials and network"
        ) from errors[0]
