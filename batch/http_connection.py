"""As much of HTTP/1.1 as a client of our controller needs, over a socket that stays open.

The standard library's http.client reads headers with the parser of e-mails and imports TLS: a fifth of the time that
`ostinato ls` may take. Requests have a Content-Length; answers may have one, be chunked, or end with the connection
(RFC 9112, sections 6 and 7). TLS is imported for https only.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

_MAX_LINE_BYTES = 65_536
_MAX_HEADERS = 100


class MalformedAnswerError(OSError):
    """Whatever answers does not speak HTTP/1.1, or stopped in the middle."""


class Answer(NamedTuple):
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection:
    """One connection, opened by the first request. Not for several threads. Raises OSError."""

    def __init__(self, host: str, port: int, *, tls: bool, timeout_s: float) -> None:
        self._host = host
        self.port = port
        self._tls = tls
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._file: BinaryIO | None = None

    @property
    def is_open(self) -> bool:
        """Return whether an earlier request opened the connection; the other side may have closed it since."""
        return self._socket is not None

    def close(self) -> None:
        """Hang up; the next request opens another connection."""
        for each in (self._file, self._socket):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()
        self._file = self._socket = None

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request and return the whole answer."""
        status, found = self._send(method, path, body, headers)
        answer = Answer(status, found, b"".join(self._pieces(found)))
        if found.get("connection", "").lower() == "close":
            self.close()
        return answer

    def lines(self, path: str, headers: Mapping[str, str]) -> tuple[int, Iterator[bytes]]:
        """Send a GET, and return its status and the lines of its body as they come."""
        status, found = self._send("GET", path, None, headers)
        return status, _lines(self._pieces(found))

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str]]:
        named = {"Host": self._name(), **headers}
        if body is not None or method in {"POST", "PUT"}:
            named["Content-Length"] = str(len(body or b""))
        for name, value in named.items():
            if "\n" in value or "\r" in value:
                raise ValueError(f"header {name} has a line break")
        head = "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in named.items())])
        self._connected().sendall(head.encode("latin-1") + b"\r\n" + (body or b""))
        return self._head()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            opened = socket.create_connection((self._host, self.port), self._timeout_s)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                import ssl  # noqa: PLC0415 - 7 ms that only https needs

                opened = ssl.create_default_context().wrap_socket(opened, server_hostname=self._host)
            self._socket = opened
            self._file = opened.makefile("rb")
        return self._socket

    def _head(self) -> tuple[int, dict[str, str]]:
        words = self._line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise MalformedAnswerError("the answer is not HTTP")
        found: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            found[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
            if len(found) > _MAX_HEADERS:
                raise MalformedAnswerError("the answer has too many headers")
        return int(words[1]), found

    def _line(self) -> bytes:
        assert self._file is not None
        line = self._file.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise MalformedAnswerError("the connection was closed" if not line else "the answer breaks off")
        return line.rstrip(b"\r\n")

    def _pieces(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        assert self._file is not None
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().partition(b";")[0], 16):
                yield self._exactly(size)
                self._line()
            while self._line():
                pass
        elif "content-length" in headers:
            yield self._exactly(int(headers["content-length"]))
        else:
            yield self._file.read()
            self.close()

    def _exactly(self, size: int) -> bytes:
        assert self._file is not None
        data = self._file.read(size)
        if len(data) < size:
            raise MalformedAnswerError("the answer breaks off")
        return data

    def _name(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest
