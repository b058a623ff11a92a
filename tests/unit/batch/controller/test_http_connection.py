"""The client's HTTP, against a socket that answers what the test wants."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from batch.client import Client
from batch.errors import ControllerError, ControllerUnreachable
from batch.http_connection import HttpConnection, MalformedAnswerError
from batch.state_folder import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer each request with the next of `answers`, each on a connection of its own; collect the requests."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                peer, _ = server.accept()
                with peer:
                    heard.append(peer.recv(65536))
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10.0)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 7\r\n\r\n[1,2,3]",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n4;x=y\r\n2,3]\r\n0\r\nTrailer: x\r\n\r\n",
        OK + b"Connection: close\r\n\r\n[1,2,3]",
        b"HTTP/1.0 200 OK\r\n\r\n[1,2,3]",
    ],
)
def test_bodies_of_every_kind(answer: bytes) -> None:
    with answering(answer) as (port, heard):
        found = HttpConnection("127.0.0.1", port, tls=False, timeout_s=5.0).request("POST", "/x?y", b"ab", {"A": "b"})
    assert (found.status, found.body) == (200, b"[1,2,3]")
    assert heard[0].startswith(b"POST /x?y HTTP/1.1\r\nHost: 127.0.0.1:")
    assert heard[0].endswith(b"A: b\r\nContent-Length: 2\r\n\r\nab")


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", OK, OK + b"Content-Length: 9\r\n\r\n[1", b"SSH-2.0-x\r\n"]
)
def test_what_is_no_whole_answer(answer: bytes) -> None:
    with answering(answer) as (port, _), pytest.raises(MalformedAnswerError):
        HttpConnection("127.0.0.1", port, tls=False, timeout_s=5.0).request("GET", "/", None, {})


def test_lines_come_as_they_are_sent() -> None:
    body = b"Transfer-Encoding: chunked\r\n\r\n5\r\na\nb\nc\r\n3\r\nd\ne\r\n0\r\n\r\n"
    with answering(OK + body) as (port, _):
        status, lines = HttpConnection("127.0.0.1", port, tls=False, timeout_s=5.0).lines("/", {})
        assert (status, list(lines)) == (200, [b"a", b"b", b"cd", b"e"])


def test_a_header_cannot_carry_another() -> None:
    with answering(OK + b"Content-Length: 0\r\n\r\n") as (port, _):
        connection = HttpConnection("127.0.0.1", port, tls=False, timeout_s=5.0)
        with pytest.raises(ValueError, match="line break"):
            connection.request("GET", "/", None, {"A": "b\r\nC: d"})
        connection.request("GET", "/", None, {})


def test_a_connection_that_was_closed_meanwhile_is_opened_again_when_that_is_safe() -> None:
    teams = OK + b'Content-Length: 12\r\n\r\n{"teams":[]}'
    with answering(teams, teams) as (port, heard), Client(Address(f"http://127.0.0.1:{port}")) as client:
        assert (client.teams(), client.teams()) == ([], [])
    assert len(heard) == 2
    job = OK + b'Content-Length: 10\r\n\r\n{"id":"a"}'
    with answering(job) as (port, heard), Client(Address(f"http://127.0.0.1:{port}")) as client:
        client.act("a", "requeue")
        with pytest.raises(ControllerUnreachable):
            client.act("a", "requeue")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 5\r\n\r\nproxy", ControllerError),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<ok>", ControllerError),
        (b"", ControllerUnreachable),
    ],
)
def test_whoever_answers_instead_of_a_controller(answer: bytes, kind: type[Exception]) -> None:
    with answering(answer) as (port, _), Client(Address(f"http://127.0.0.1:{port}")) as client, pytest.raises(kind):
        client.health()
