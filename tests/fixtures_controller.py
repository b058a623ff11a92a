"""A controller on a real queue, in this process, and an agent that says what the test wants it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn

import batch.controller.service
from batch.agent.messages import AttemptStatus, Grant, LogChunk, SyncAnswer, SyncRequest
from batch.controller.app import create_app
from batch.controller.rate_limits import RateLimits
from batch.controller.roles import Role
from batch.controller.service import Service
from batch.http_connection import Answer, HttpConnection
from batch.job_queue import Queue
from batch.launcher import Ended, Progress
from batch.model import Node

OPERATOR = "ost_operator"
AGENT = "ost_agent"
DEADLINE_S = 60.0
"""For whatever is waited for: how long it takes on a busy machine is no test's subject."""


class Reply:
    """An answer: its status, headers and JSON."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.headers = answer.headers
        self.text = answer.body.decode()

    def json(self) -> Any:
        """Return the JSON."""
        return json.loads(self.text)


class Served:
    """A controller that serves at `url`: HTTP calls, and its service."""

    def __init__(self, url: str, service: Service) -> None:
        self.url = url
        self.service = service

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = OPERATOR, **headers: str) -> Reply:
        """Return the answer, whatever it is. `body` is sent as JSON, bytes as they are."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        port = int(self.url.rpartition(":")[2])
        connection = HttpConnection("127.0.0.1", port, tls=False, timeout_s=DEADLINE_S)
        try:
            return Reply(connection.request(method, path, data, {"Content-Type": "application/json", **sent}))
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the JSON of an answer that must be a success."""
        answer = self.call(method, path, body, **headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def submit(self, *jobs: dict[str, Any]) -> list[str]:
        """Return the ids of jobs; `command` and `kind` may be left out."""
        full = [{"kind": "command", "payload": {"command": ["true"]}, **job} for job in jobs or ({},)]
        return [job["id"] for job in self.json("POST", "/v1/jobs", full)["jobs"]]

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return str(self.json("GET", f"/v1/jobs/{job}")["state"])

    def outcomes(self, job: str) -> list[str]:
        """Return where the job went after each of its attempts, "" for one that is not over.

        Unlike its state, which is another as soon as the scheduler has found a place for what was queued again.
        """
        return [attempt["outcome"] for attempt in self.json("GET", f"/v1/jobs/{job}/attempts")["attempts"]]


class FakeAgent:
    """Keeps what it is told to start, and reports it as the test sets it."""

    def __init__(self, served: Served, pool: str = "local", nodes: int = 1, cpus: int = 4) -> None:
        self.served = served
        self.pool = pool
        self.name = f"agent-{pool}"
        self.takes_over = False
        self.nodes = tuple(Node(f"{pool}-{n}", 0, cpus) for n in range(nodes))
        self.sequence = 0
        self.attempts: dict[tuple[int, int], AttemptStatus] = {}
        self.grants: dict[tuple[int, int], Grant] = {}
        self.untaken: list[Grant] = []
        self.stops: dict[tuple[int, int], bool] = {}
        self.chunks: list[LogChunk] = []

    def sync(self, wait_s: float = 0.0) -> SyncAnswer:
        """Report, obey, and return the answer."""
        self.sequence += 1
        request = SyncRequest(
            agent=self.name,
            sequence=self.sequence,
            wait_s=wait_s,
            nodes=self.nodes,
            attempts=tuple(self.attempts.values()),
            log_chunks=tuple(self.chunks),
            take_over=self.takes_over,
            highest_uid=max((uid for uid, _ in self.grants), default=0),
        )
        self.chunks = []
        raw = self.served.json("POST", f"/v1/pools/{self.pool}/sync", request.to_json(), token=AGENT)
        answer = SyncAnswer.from_json(raw)
        for grant in answer.start:
            self.grants[grant.uid, grant.attempt] = grant
            self.untaken.append(grant)
            self.attempts[grant.uid, grant.attempt] = AttemptStatus(
                uid=grant.uid, attempt=grant.attempt, fence=grant.fence, time_limit_s=grant.time_limit_s
            )
        for limit in answer.limit:
            self._set(self.grants[limit.uid, limit.attempt], time_limit_s=limit.time_limit_s)
        for stop in answer.stop:
            self.stops[stop.uid, stop.attempt] = stop.now
        for gone in answer.forget:
            self.attempts.pop((gone.uid, gone.attempt), None)
        return answer

    def take(self, count: int = 1) -> list[Grant]:
        """Return the leases that nobody has taken yet, once there are `count`.

        One may have come with the answer to any report: what an attempt leaves free is given away at once.
        """
        limit_s = time.monotonic() + DEADLINE_S
        while len(self.untaken) < count:
            assert time.monotonic() < limit_s, f"{len(self.untaken)} of {count} leases"
            self.sync(wait_s=1.0)
        taken, self.untaken = self.untaken, []
        return taken

    def starts(self, grant: Grant) -> None:
        """Let the attempt run from the next report on."""
        self._set(grant, started_s=time.time())

    def saves(self, grant: Grant, step: int) -> None:
        """Let the attempt report a checkpoint."""
        self._set(grant, progress=Progress(saved_s=time.time(), step=step))

    def ends(self, grant: Grant, state: str = "succeeded", **facts: Any) -> None:
        """Let the attempt be over from the next report on."""
        self._set(grant, ended=Ended(state=state, **facts))

    def _set(self, grant: Grant, **changes: Any) -> None:
        key = grant.uid, grant.attempt
        fields = {name: getattr(self.attempts[key], name) for name in AttemptStatus.__slots__}
        self.attempts[key] = AttemptStatus(**{**fields, **changes})


def open_service(
    folder: Path, clock: Callable[[], float] = time.time, **settings: Any
) -> tuple[Queue, Service]:
    """Return an open queue in `folder`, and a controller of it with the two tokens."""
    (folder / "code").mkdir(parents=True, exist_ok=True)
    queue = Queue.open(str(folder / "queue.db"), clock=clock)
    service = Service(queue, folder / "code", clock=clock, **settings)
    service.tokens.keep(OPERATOR, "local", Role.OPERATOR)
    service.tokens.keep(AGENT, "local-agent", Role.AGENT)
    return queue, service


@contextmanager
def serving(
    folder: Path,
    rate_limits: RateLimits | None = None,
    silence_check_s: float = 3600.0,
    clock: Callable[[], float] = time.time,
) -> Iterator[Served]:
    """Serve a queue in `folder` on a port of its own; may be entered again, as a controller that is started again.

    It does not look for silent agents by itself, unless it is told how often: a test may take any time.
    """
    queue, service = open_service(folder, clock, rate_limits=rate_limits)
    config = uvicorn.Config(
        create_app(service), port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    with queue, patch.object(batch.controller.service, "_SILENCE_CHECK_S", silence_check_s):
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started
            yield Served(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service)
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)


def wait_until(question: Any, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true answer to `question`."""
    limit_s = time.monotonic() + deadline_s
    while not (answer := question()):
        assert time.monotonic() < limit_s, "did not come true in time"
        time.sleep(0.01)
    return answer
