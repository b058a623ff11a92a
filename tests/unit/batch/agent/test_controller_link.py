import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from batch.agent.controller_link import Backoff, ControllerLink, token_file
from batch.agent.messages import SyncRequest
from batch.errors import (
    BadRequestError,
    BatchQueueError,
    ConflictError,
    ControllerError,
    ControllerUnreachable,
    NotAllowedError,
    NotFoundError,
)

REQUEST = SyncRequest(agent="a", sequence=1, wait_s=0.0, nodes=())


class Scripted(BaseHTTPRequestHandler):
    status, body = 200, b"{}"
    seen: "list[tuple[str, str | None]]" = []  # noqa: RUF012 - one server at a time

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Scripted.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), Scripted)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (500, ControllerError),
    ],
)
def test_an_answer_is_an_error_by_its_status(url: str, status: int, error: type[BatchQueueError]) -> None:
    Scripted.status, Scripted.body = status, json.dumps({"error": {"message": "the reason"}}).encode()
    with pytest.raises(error, match=f"{status} the reason"):
        ControllerLink(url, "a pool/x").sync(REQUEST)
    assert Scripted.seen == [("/v1/pools/a%20pool%2Fx/sync", None)]


class HangsUp(Scripted):
    """Keeps a connection open and says nothing of it when it ends it, as a server does after a minute of silence."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.seen.append((self.path, None))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"code")
        self.close_connection = True


def test_a_connection_that_was_ended_meanwhile_is_made_anew() -> None:
    Scripted.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), HangsUp)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    link = ControllerLink(f"http://127.0.0.1:{server.server_port}", "p")
    assert [link.code("a"), link.code("b")] == [b"code", b"code"]
    server.shutdown()
    server.server_close()
    with pytest.raises(ControllerUnreachable):
        link.code("c")
    assert Scripted.seen == [("/v1/code/a", None), ("/v1/code/b", None)]


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"revision": "x"}'])
def test_an_answer_that_is_none(url: str, body: bytes) -> None:
    Scripted.status, Scripted.body = 200, body
    with pytest.raises(BatchQueueError, match="answer"):
        ControllerLink(url, "p").sync(REQUEST)


def test_nobody_answers() -> None:
    with pytest.raises(ControllerUnreachable, match=r"http://127\.0\.0\.1:9"):
        ControllerLink("http://127.0.0.1:9", "p").sync(REQUEST)
    with pytest.raises(BadRequestError, match="must be http"):
        ControllerLink("queue:8733", "p")


def test_the_token_is_read_before_each_call(url: str, tmp_path: Path) -> None:
    Scripted.status, Scripted.body = 200, b'{"revision": 4}'
    path = tmp_path / "token"
    link = ControllerLink(url, "p", token_file(path))
    with pytest.raises(NotAllowedError, match="token file"):
        link.sync(REQUEST)
    for token in ("old", "new"):
        path.write_text(f"{token}\n")
        assert link.sync(REQUEST).revision == 4
    assert [each for _, each in Scripted.seen] == ["Bearer old", "Bearer new"]


def test_pauses_grow_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(first_s=1.0, most_s=8.0)
    pauses_s = [backoff.next_s() for _ in range(6)]
    assert all(limit_s / 2 <= pause_s <= limit_s for pause_s, limit_s in zip(pauses_s, (1, 2, 4, 8, 8, 8), strict=True))
    backoff.reset()
    assert backoff.next_s() <= 1.0
