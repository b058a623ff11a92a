"""A user's own controller and agent find one another again, and give their tokens to nobody else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fixtures_cli import Ostinato, crash
from fixtures_controller import wait_until

from batch import token_proof
from batch.client import Client
from batch.errors import ControllerUnreachable
from batch.state_folder import StateFolder, find_controller
from scripts.embedded import agent_pid, stop_controller


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    for name in ("OSTINATO_CONTROLLER", "OSTINATO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    folder = StateFolder.of_user()
    yield folder
    stop_controller(folder)


@contextmanager
def impostor(port: int) -> Iterator[list[str]]:
    """Serve at `port` and say yes to everything; gives what was sent as authorization."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.extend(filter(None, [self.headers["Authorization"]]))
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            body = b'{"status": "ok", "proof": "trust me", "pools": [], "revision": 1}'
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)  # the agent asks it too, and may take its time
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def run_a_job(ostinato: Ostinato) -> int:
    said = ostinato("submit", "-o", "json", "--no-code", "--", "true")
    assert said.code == 0, said.err
    return ostinato("wait", said.value["id"], "--timeout", "240s").code


def test_an_agent_finds_its_controller_at_another_port_and_tells_nobody_else_its_token(
    ostinato: Ostinato, home: StateFolder
) -> None:
    assert ostinato("up", "--detach").code == 0
    record, agent = home.record(), agent_pid(home)
    assert record is not None
    crash(record.pid)
    port = int(record.url.rpartition(":")[2])
    with impostor(port) as told:
        with pytest.raises(ControllerUnreachable, match="another program"), Client(find_controller()) as client:
            client.pools()
        assert run_a_job(ostinato) == 0
        after = home.record()
        assert after is not None
        assert (after.url != record.url, agent_pid(home)) == (True, agent)
    assert told == []


def test_an_agent_that_has_died_is_started_again(ostinato: Ostinato, home: StateFolder) -> None:
    assert run_a_job(ostinato) == 0
    crash(agent_pid(home))
    assert run_a_job(ostinato) == 0
    crash(agent_pid(home))
    assert "started again" in ostinato("status").out
    assert "started again" not in ostinato("status").out
    wait_until(lambda: agent_pid(home))
    stop_controller(home)
    assert ostinato("up", "--detach", "--no-agent").code == 0
    assert ("started again" in ostinato("status").out, agent_pid(home)) == (False, None)


def test_a_proof_is_of_one_token_one_question_and_one_port() -> None:
    proof = token_proof.prove(token_proof.digest_of("mine"), "c", 8733)
    assert token_proof.is_answer("mine", "c", 8733, proof)
    for token, challenge, port in (("other", "c", 8733), ("mine", "d", 8733), ("mine", "c", 8734)):
        assert not token_proof.is_answer(token, challenge, port, proof)
    assert not token_proof.is_answer("mine", "c", 8733, None)


def test_no_module_of_the_users_folder_is_ours_and_none_of_ours_the_jobs(
    home: StateFolder, ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    Path("secrets.py").write_text("raise RuntimeError('a module of the user')\n")
    said = ostinato("submit", "--no-code", "-o", "json", "--", "env")
    assert said.code == 0, said.err
    assert ostinato("wait", said.value["id"], "--timeout", "60s").code == 0
    assert "PYTHONPATH" not in ostinato("logs", said.value["id"]).out
