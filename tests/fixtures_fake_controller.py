"""A controller for tests of the agent: speaks the sync message over real HTTP, and keeps what it is told in memory."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from batch.agent.messages import (
    AttemptStatus,
    Forget,
    Grant,
    Limit,
    LogChunk,
    LogRequest,
    Stop,
    SyncAnswer,
    SyncRequest,
)
from batch.launcher import Ended

NODE = "here"
DEADLINE_S = 60.0


def grant(uid: int, *command: str, attempt: int = 1, fence: int | None = None, **changes: Any) -> Grant:
    """Return a lease of a command on one node."""
    fields: dict[str, Any] = {
        "id": f"job-{uid}",
        "fence": fence or attempt,
        "kind": "command",
        "payload": {"command": list(command)},
        "nodes": (NODE,),
        "grace_s": 5.0,
    }
    return Grant(uid=uid, attempt=attempt, **{**fields, **changes})


class FakeController:
    """Follows messages.py to the letter. `placed` is what should run, `ends` what was told and is durable."""

    def __init__(self) -> None:
        self.placed: dict[int, Grant] = {}
        self.stops: dict[int, Stop] = {}
        self.limits: dict[int, Limit] = {}
        self.ends: dict[tuple[int, int], Ended] = {}
        self.statuses: dict[int, AttemptStatus] = {}
        self.codes: dict[str, bytes] = {}
        self.log_requests: dict[str, LogRequest] = {}
        self.log_chunks: dict[str, LogChunk] = {}
        self.requests: list[SyncRequest] = []
        self.queue = "q1"
        self.revision = 1
        self.is_away = False
        self._sequence = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self.is_away = True
        with self._changed:
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def place(self, *grants: Grant) -> None:
        """Want these to run."""
        with self._change():
            self.placed.update({each.uid: each for each in grants})

    def stop(self, uid: int, *, now: bool = False) -> None:
        """Want this one to end."""
        with self._change():
            self.stops[uid] = Stop(uid=uid, attempt=self.placed[uid].attempt, now=now)

    def limit(self, uid: int, time_limit_s: float) -> None:
        """Let this one run for so long since its start."""
        with self._change():
            self.limits[uid] = Limit(uid=uid, attempt=self.placed[uid].attempt, time_limit_s=time_limit_s)

    def ask_log(self, request: LogRequest) -> LogChunk:
        """Return a piece of a log, from the agent."""
        with self._change():
            self.log_requests[request.key] = request
        wait_until(lambda: request.key in self.log_chunks, f"log {request}")
        return self.log_chunks.pop(request.key)

    def wait_for_end(self, uid: int, attempt: int = 1, timeout_s: float = DEADLINE_S) -> Ended:
        """Return how an attempt ended."""
        wait_until(lambda: (uid, attempt) in self.ends, f"the end of {uid}/{attempt}", timeout_s)
        return self.ends[uid, attempt]

    def wait_until_started(self, *uids: int) -> None:
        """Return when attempts of these jobs run, which must not end by themselves meanwhile."""
        for uid in uids:
            wait_until(lambda uid=uid: self._is_started(uid), f"the start of {uid}")

    def sync(self, request: SyncRequest) -> SyncAnswer:
        """Answer as a controller does."""
        deadline_s = time.monotonic() + request.wait_s
        with self._changed:
            self.requests.append(request)
            if request.sequence > self._sequence:
                self._sequence = request.sequence
                self._learn(request)
            while not self.is_away:
                answer = self._answer(request)
                left_s = deadline_s - time.monotonic()
                if answer.start or answer.stop or answer.limit or answer.forget or answer.log_requests or left_s <= 0:
                    return answer
                self._changed.wait(left_s)
        raise ConnectionAbortedError

    def _learn(self, request: SyncRequest) -> None:
        for chunk in request.log_chunks:
            self.log_chunks[chunk.key] = chunk
            self.log_requests.pop(chunk.key, None)
        self.statuses = {status.uid: status for status in request.attempts}
        for status in request.attempts:
            placed = self.placed.get(status.uid)
            if status.ended is not None and placed is not None and placed.fence == status.fence:
                self.ends[status.uid, status.attempt] = status.ended
                self.revision += 1
                del self.placed[status.uid]
                self.stops.pop(status.uid, None)

    def _answer(self, request: SyncRequest) -> SyncAnswer:
        has = {(status.uid, status.fence): status for status in request.attempts}
        wanted = {(each.uid, each.fence): each for each in self.placed.values()}
        unwanted = [status for key, status in has.items() if key not in wanted]
        stops = [Stop(uid=s.uid, attempt=s.attempt, now=True) for s in unwanted if s.ended is None and s.stop != "now"]
        for status in request.attempts:
            stop = self.stops.get(status.uid)
            if stop is not None and status.ended is None and status.stop not in {"now", "now" if stop.now else "save"}:
                stops.append(stop)
        return SyncAnswer(
            revision=self.revision,
            queue=self.queue,
            start=tuple(each for key, each in wanted.items() if key not in has),
            stop=tuple(stops),
            limit=tuple(
                each
                for each in self.limits.values()
                if (status := self.statuses.get(each.uid)) and status.time_limit_s != each.time_limit_s
            ),
            forget=tuple(Forget(uid=s.uid, attempt=s.attempt) for s in unwanted if s.ended is not None),
            log_requests=tuple(self.log_requests.values()),
        )

    def _is_started(self, uid: int) -> bool:
        status = self.statuses.get(uid)
        return status is not None and status.started_s is not None

    def _change(self) -> "_Change":
        return _Change(self, self._changed)


class _Change:
    def __init__(self, controller: FakeController, condition: threading.Condition) -> None:
        self._controller = controller
        self._condition = condition

    def __enter__(self) -> None:
        self._condition.acquire()
        self._controller.revision += 1

    def __exit__(self, *exception: object) -> None:
        self._condition.notify_all()
        self._condition.release()


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Return once `holds()`, fail with `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.01)


def lines(path: Path) -> list[str]:
    """Return the lines of a file, none when it is not there."""
    return path.read_text().splitlines() if path.exists() else []


def _handler(controller: FakeController) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if controller.is_away:
                self._send(503, b"{}")
                return
            try:
                answer = controller.sync(SyncRequest.from_json(json.loads(body)))
            except ConnectionAbortedError:
                self._send(503, b"{}")
                return
            self._send(200, json.dumps(answer.to_json()).encode())

        def do_GET(self) -> None:
            data = controller.codes.get(self.path.rpartition("/")[2])
            self._send(404 if data is None else 200, data or b'{"error": {"message": "no such code"}}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _send(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except BrokenPipeError:  # the agent was killed
                self.close_connection = True

    return Handler
