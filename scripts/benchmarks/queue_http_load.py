"""`python -m scripts.benchmarks.queue_http_load URL CLIENTS SECONDS`: submits jobs over connections that stay open.

A process of its own, so that it shares no interpreter with what it measures. Each client is an open connection, as a
program has that submits with our API, and speaks HTTP/1.1: it submits one held job under a key, waits for its whole
acknowledgement, and submits the next; an answer other than 201 ends the measurement. All clients live in one event
loop and do as little as a client can, because they run on the cores of what they measure: some 20 microseconds a
submission. The `sbatch` beside which this is measured is a process for each job. The token is in $OSTINATO_TOKEN.
Prints one line of JSON: `per_second`, `p50_ms`, `p99_ms`.
"""

import asyncio
import json
import os
import re
import statistics
import sys
import time
from urllib.parse import urlsplit

import uvloop

_JOB = {
    "kind": "command",
    "payload": {"command": ["python", "train.py", "--lr", "1e-3"], "environment": {"STAGE": "2"}},
    "shape": {"nodes": 1, "gpus": 0, "cpus": 1},
    "recipe": "clip",
    "held": True,
}
_NAME = "NAME"
_BODY = json.dumps([{**_JOB, "name": _NAME}])
_HEAD = re.compile(rb"HTTP/1\.1 (?P<status>\d+) .*?\r\ncontent-length: (?P<length>\d+).*?\r\n\r\n", re.I | re.S)


class Submitter(asyncio.Protocol):
    """A client: submits until `end_s`, and notes in `times_s` how long each submission took; then `ended` is set."""

    def __init__(self, host: str, name: str, end_s: float, times_s: list[float]) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._name = name
        self._end_s = end_s
        self._times_s = times_s
        self._head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {os.environ['OSTINATO_TOKEN']}\r\n"
        )
        self._number = 0
        self._began_s = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's is one
        """Submit the first."""
        self._transport = transport
        self._submit()

    def data_received(self, data: bytes) -> None:
        """Submit the next once the answer is here."""
        self._answer += data
        head = _HEAD.match(self._answer)
        if head is None or len(self._answer) < head.end() + int(head["length"]):
            return
        if head["status"] != b"201":
            self._end(ConnectionError(f"a submission was refused: {self._answer.decode()}"))
            return
        now_s = time.perf_counter()
        self._times_s.append(now_s - self._began_s)
        self._answer = b""
        if now_s < self._end_s:
            self._submit()
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End, if it was not the end."""
        self._end(error or ConnectionError("the controller has closed the connection"))

    def _submit(self) -> None:
        name = f"{self._name}-{self._number}"
        self._number += 1
        body = _BODY.replace(_NAME, name, 1)
        request = f"{self._head}Idempotency-Key: {name}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        self._began_s = time.perf_counter()
        self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None) if error is None else self.ended.set_exception(error)
            self._transport.close()


async def load(url: str, clients: int, duration_s: float) -> dict[str, float]:
    """Let `clients` submit for so long; return what they got."""
    parts = urlsplit(url)
    times_s: list[float] = []
    began_s = time.perf_counter()

    async def client(number: int) -> None:
        name = f"{os.getpid()}-{began_s:.6f}-{number}"
        submitter = Submitter(parts.netloc, name, began_s + duration_s, times_s)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: submitter, parts.hostname or "", parts.port or 80)
        await submitter.ended

    await asyncio.gather(*(client(number) for number in range(clients)))
    per_second = len(times_s) / (time.perf_counter() - began_s)
    cuts = statistics.quantiles(times_s, n=100)
    return {"per_second": per_second, "p50_ms": 1e3 * cuts[49], "p99_ms": 1e3 * cuts[98]}


def main() -> None:
    """Measure, and print it."""
    url, clients, duration_s = sys.argv[1:]
    print(json.dumps(uvloop.run(load(url, int(clients), float(duration_s)))))


if __name__ == "__main__":
    main()
