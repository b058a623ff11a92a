"""The agent's side of the calls to the controller: HTTP with a deadline, and patience when nobody answers."""

import contextlib
import http.client
import json
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from batch import token_proof
from batch.agent.messages import SyncAnswer, SyncRequest
from batch.error_replies import error_from
from batch.errors import (
    BadRequestError,
    BatchQueueError,
    ConflictError,
    ControllerError,
    ControllerUnreachable,
    NotAllowedError,
    NotFoundError,
)

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 15.0
"""On top of the time that the controller may hold a request."""
_MAX_ANSWER_BYTES = 2**30
_MAX_ERROR_BYTES = 2**16
_SHOWN_BYTES = 300
_UNNAMED: dict[int, type[BatchQueueError]] = {
    400: BadRequestError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    422: BadRequestError,
}


class ControllerLink:
    """One connection, kept open between calls; used by one thread."""

    def __init__(
        self, url: str | Callable[[], str], pool: str, token: Callable[[], str | None] = lambda: None
    ) -> None:
        """Talk to the controller at `url` for `pool`. `token` is asked before each call: tokens are renewed.

        A `url` that is a function is asked at each connection: a user's own controller may have another port each time
        it starts. It must prove that it knows the token before it is sent it.
        """
        self._find = None if isinstance(url, str) else url
        self.url = "" if callable(url) else url
        self._parts = urlsplit("") if callable(url) else _parts(url)
        self._pool = pool
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    @property
    def most_pause_s(self) -> float:
        """Return how long to pause at most between two tries: on the own machine there is nobody to spare."""
        return 15.0 if self._find is None else 1.0

    def sync(self, request: SyncRequest) -> SyncAnswer:
        """Send `request` and return the answer; blocks for at most its `wait_s` and some seconds.

        Raises ControllerUnreachable when nothing answers in time, and the error that an answer names.
        """
        path = f"/v1/pools/{quote(self._pool, safe='')}/sync"
        body = json.dumps(request.to_json()).encode()
        answer = self._call("POST", path, body, request.wait_s)
        try:
            return SyncAnswer.from_json(json.loads(answer))
        except ValueError as error:
            raise ControllerError(f"{self.url}{path}: the answer is not JSON ({error})") from error

    def code(self, address: str) -> bytes:
        """Return the code bundle `address`. Raises NotFoundError, ControllerUnreachable."""
        return self._call("GET", f"/v1/code/{quote(address, safe='')}", None, 60.0)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, body: bytes | None, wait_s: float) -> bytes:
        is_reused = self._connection is not None
        try:
            try:
                status, data = self._ask(method, path, body, wait_s)
            except ConnectionError:
                if not is_reused:
                    raise
                # The controller hangs up after a minute without a word; every call may be made twice.
                self.close()
                status, data = self._ask(method, path, body, wait_s)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ControllerUnreachable(f"{self.url}{path}: {type(error).__name__}: {error}") from error
        if status != 200:
            self.close()
            raise _error(status, data, f"{self.url}{path}: {status}")
        return data

    def _ask(self, method: str, path: str, body: bytes | None, wait_s: float) -> tuple[int, bytes]:
        connection = self._connected()
        assert connection.sock is not None
        connection.sock.settimeout(wait_s + _ANSWER_TIMEOUT_S)
        connection.request(method, path, body, self._headers())
        response = connection.getresponse()
        return response.status, response.read(_MAX_ANSWER_BYTES)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None or self._connection.sock is None:
            if self._find is not None:
                self.url = self._find()
                self._parts = _parts(self.url)
            secure = self._parts.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            assert self._parts.hostname is not None
            self._connection = kind(self._parts.hostname, self._parts.port, timeout=_CONNECT_TIMEOUT_S)
            self._connection.auto_open = 0  # a connection that was closed is not opened behind our back, unchecked
            try:
                self._connection.connect()
                if self._find is not None:
                    self._check_identity(self._connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                raise ControllerUnreachable(f"{self.url}: {error}") from error
            except BatchQueueError:
                self.close()
                raise
        return self._connection

    def _check_identity(self, connection: http.client.HTTPConnection) -> None:
        """Raise OSError when whoever answers does not know the token, which it is then not sent."""
        token, challenge = self._token(), secrets.token_hex(16)
        if token is None:
            return
        connection.request("GET", token_proof.question(token, challenge))
        said: Any = json.loads(connection.getresponse().read(_MAX_ERROR_BYTES))
        proof = said.get("proof") if isinstance(said, dict) else None
        if connection.sock is None or not token_proof.is_answer(token, challenge, connection.port, proof):
            raise OSError("another program or another user's controller answers there, and was sent no token")

    def _headers(self) -> dict[str, str]:
        token = self._token()
        headers = {"Content-Type": "application/json"}
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


def _parts(url: str) -> SplitResult:
    wrong = f"controller = {url}: must be http://host:port or https://host:port"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises when there can be none such
    except ValueError as error:
        raise BadRequestError(f"{wrong} ({error})") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadRequestError(wrong)
    return parts


def token_file(path: Path | None) -> Callable[[], str | None]:
    """Return what reads the token from `path` each time it is needed, or that there is none."""

    def read() -> str | None:
        if path is None:
            return None
        try:
            return path.expanduser().read_text().strip()
        except OSError as error:
            raise NotAllowedError(f"token file {path}: {error.strerror}") from error

    return read


class Backoff:
    """How long to wait before the next try: doubling from `first_s` to `most_s`, each drawn at random up to that.

    At random, so that the agents of a controller that comes back do not all come at once.
    """

    def __init__(self, first_s: float = 0.2, most_s: float = 15.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._tries = 0

    def next_s(self) -> float:
        """Return the seconds to wait after one more failure."""
        limit_s = min(self._most_s, self._first_s * 2 ** min(self._tries, 30))
        self._tries += 1
        return random.uniform(limit_s / 2, limit_s)

    def reset(self) -> None:
        """It worked."""
        self._tries = 0


def _error(status: int, data: bytes, where: str) -> BatchQueueError:
    """Return the error that an answer names; when none of ours sent it, the one that its status stands for."""
    kind, text = _UNNAMED.get(status, ControllerError), data[:_SHOWN_BYTES].decode(errors="replace")
    with contextlib.suppress(ValueError, LookupError, TypeError):
        said: Any = json.loads(data[:_MAX_ERROR_BYTES])
        text = str(said["error"]["message"])
        kind = type(error_from(status, said)) if "type" in said["error"] else kind
    return kind(f"{where} {text}")
