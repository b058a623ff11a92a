"""A rank's end of the line to its node's keeper; starts the keeper when there is none."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoint.errors import KeeperError, KeeperGoneError
from checkpoint.keeper_protocol import Connection, Hello, connect, take_lock
from checkpoint.state import Json

START_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 20.0
_ROOT = Path(__file__).resolve().parent.parent


class KeeperClient:
    """One connection to the keeper of `folder`. Used by one thread."""

    def __init__(self, folder: Path, hello: Hello, *, linger_s: float) -> None:
        """Connect, starting a keeper if need be. Raises KeeperError after START_TIMEOUT_S."""
        self._folder = folder
        self._hello = hello
        self._linger_s = linger_s
        self.pid = 0
        """Process id of the keeper."""
        self._connection = self._connect()

    def send(self, message: Mapping[str, Json]) -> None:
        """Send one message. Raises KeeperGoneError."""
        try:
            self._connection.send(message)
        except OSError as error:
            raise KeeperGoneError(f"keeper {self.pid} of {self._folder} is gone: {error}") from error

    def receive(self, timeout_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the messages that came, waiting up to `timeout_s` for the first. Raises KeeperGoneError."""
        try:
            return self._connection.receive(timeout_s)
        except OSError as error:
            raise KeeperGoneError(f"keeper {self.pid} of {self._folder} is gone: {error}") from error

    def reconnect(self) -> None:
        """Connect again after KeeperGoneError, to the keeper that is there or a new one. Raises KeeperError."""
        self._connection.close()
        self._connection = self._connect()

    def close(self) -> None:
        """Hang up: the keeper then counts this rank as gone."""
        self._connection.close()

    def _connect(self) -> Connection:
        deadline = time.monotonic() + START_TIMEOUT_S
        failure: OSError | None = None
        while time.monotonic() < deadline:
            try:
                return self._greet()
            except OSError as error:
                failure = error
            self._start_unless_running()
            time.sleep(0.02)
        raise KeeperError(
            f"no keeper answers in {self._folder} after {START_TIMEOUT_S:g} s ({failure}); "
            f"its log is {self._hello.log_path or 'not kept: pass log_path'}"
        ) from failure

    def _greet(self) -> Connection:
        connection = Connection(connect(self._folder))
        try:
            connection.send(self._hello.to_json())
            answers = connection.receive(_ANSWER_TIMEOUT_S)
            if not answers:
                raise TimeoutError("no answer to hello")
        except OSError:
            connection.close()
            raise
        self.pid = answers[0]["pid"]
        return connection

    def _start_unless_running(self) -> None:
        """Start a keeper unless one holds the lock: it lives, is starting, or is about to end."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = take_lock(self._folder)
        if lock is None:
            return
        os.close(lock)
        command = [sys.executable, "-m", "checkpoint.keeper", str(self._folder), "--linger-s", str(self._linger_s)]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        output = self._hello.log_path
        with Path(output or os.devnull).open("ab") as log:
            # The child forks once more and ends: the keeper is nobody's child, and has its own session.
            subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": path},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                timeout=START_TIMEOUT_S,
                check=False,
            )
