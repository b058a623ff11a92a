"""What ranks and their keeper tell each other: one JSON object a line over a Unix socket in the run's folder.

Rank to keeper: `hello` (who I am, where to save), `save` (this slot; from rank 0 it also decides for all ranks),
`skip` (rank 0 decided not to save this step), `retire` (the run is finished). Keeper to rank: `welcome`, `report`
(a SaveReport), `dropped` (rank 0 did not save that step: the slot is free again).
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from checkpoint import errors
from checkpoint.errors import CheckpointError, IncompleteError, KeeperError
from checkpoint.state import Json

_SOCKET = "keeper.sock"
_LOCK = "keeper.lock"
_MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class SaveReport:
    """How a save went. `error` is the name of the error's class and `message` its text, when not `ok`.

    `ok` on rank 0: the checkpoint is committed; elsewhere: this rank's part is durable. `committed` is known to
    rank 0 only, and False elsewhere. `bytes` is this rank's tensor data, `seconds` counts from the request.
    """

    step: int
    ok: bool
    error: str | None
    message: str
    bytes: int
    seconds: float
    committed: bool

    def to_error(self) -> CheckpointError:
        """Return why the save failed, in the class that the keeper caught: KeeperError when it was none of ours."""
        kind = getattr(errors, self.error or "", KeeperError)
        # A part of another rank that is missing is no fault of what was saved before.
        kind = KeeperError if kind is IncompleteError else kind
        error: CheckpointError = kind(f"the checkpoint of step {self.step} could not be written: {self.message}")
        return error


@dataclass(frozen=True, slots=True)
class SaveTarget:
    """Where and how the keeper saves. Sent over the private socket only: the options may hold credentials."""

    url: str
    storage_options: Mapping[str, Any]
    segment_bytes: int
    save_timeout_s: float
    keep_last: int
    keep_every_steps: int | None


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a rank is."""

    rank: int
    world_size: int
    fence: int
    generation: int
    target: SaveTarget
    log_path: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the message."""
        return {"op": "hello", **asdict(self)}

    @staticmethod
    def from_json(message: Mapping[str, Any]) -> "Hello":
        """Return what `to_json` wrote."""
        fields = {key: value for key, value in message.items() if key != "op"}
        return Hello(**{**fields, "target": SaveTarget(**fields["target"])})


class Connection:
    """JSON lines over a socket. One thread reads; sending is atomic for messages from one thread at a time."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._buffer = b""

    def send(self, message: Mapping[str, Json]) -> None:
        """Send one message. Raises OSError when the other side is gone."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float | None) -> list[dict[str, Any]]:
        """Return the messages that are there, waiting up to `timeout_s` (None: for ever) for the first.

        Returns an empty list after the time-out. Raises ConnectionError when the other side is gone.
        """
        messages = self._complete()
        if messages:
            return messages
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(65536)
        except (TimeoutError, BlockingIOError):
            return []
        finally:
            with contextlib.suppress(OSError):
                self._socket.settimeout(None)
        if not data or len(self._buffer) > _MAX_LINE_BYTES:
            raise ConnectionResetError("the other side has closed the connection")
        self._buffer += data
        return self._complete()

    def close(self) -> None:
        """Close the connection; a thread that reads it is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _complete(self) -> list[dict[str, Any]]:
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]


def listen(folder: Path) -> socket.socket:
    """Return a listening socket in `folder`, which only the user can reach. The caller holds the keeper's lock."""
    path = folder / _SOCKET
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short_path(folder) as short:
        server.bind(f"{short}/{_SOCKET}")
    path.chmod(0o600)
    server.listen(64)
    return server


def connect(folder: Path) -> socket.socket:
    """Return a connection to the keeper of `folder`. Raises OSError when there is none."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(folder) as short:
            client.connect(f"{short}/{_SOCKET}")
    except OSError:
        client.close()
        raise
    return client


def remove_endpoint(folder: Path) -> None:
    """Remove the socket: nobody can connect any more."""
    (folder / _SOCKET).unlink(missing_ok=True)


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """Yield another name of `folder`: a socket's path may have 107 bytes, less than many a run's folder."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def take_lock(folder: Path) -> int | None:
    """Take the lock of the one keeper of `folder`, for as long as this process lives or the descriptor is open.

    Returns the descriptor, or None when another process holds it.
    """
    path = folder / _LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        # The keeper before us removed the file when it ended: what we hold is a lock on nothing.
        os.close(descriptor)


def remove_lock(folder: Path) -> None:
    """Remove the lock's file. The caller holds the lock."""
    (folder / _LOCK).unlink(missing_ok=True)
