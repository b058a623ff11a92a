"""`python -m scripts.benchmarks.queue_http_load URL CLIENTS SECONDS`: submits jobs over connections that stay open.

A process of its own, so that it shares no interpreter with what it measures. Each client is an open connection, as a
program has that submits with our API, and speaks HTTP/1.1: it submits one held job under a key, waits for its
acknowledgement, and submits the next; an answer other than 201 ends the measurement. All clients live in one event
loop, which costs some 45 microseconds a submission on a core of the same machine; the `sbatch` beside which this is
measured is a process for each job. The token is in $OSTINATO_TOKEN.
Prints one line of JSON: `per_second`, `p50_ms`, `p99_ms`.
"""

import asyncio
import json
import os
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
_LIMIT_BYTES = 1 << 20


async def client(host: str, port: int, name: str, end_s: float, times_s: list[float]) -> None:
    """Submit until `end_s`, and note how long each submission took."""
    reader, writer = await asyncio.open_connection(host, port, limit=_LIMIT_BYTES)
    number = 0
    while time.perf_counter() < end_s:
        body = json.dumps([{**_JOB, "name": f"{name}-{number}"}]).encode()
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {os.environ['OSTINATO_TOKEN']}\r\nIdempotency-Key: {name}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        began_s = time.perf_counter()
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        times_s.append(time.perf_counter() - began_s)
        if not answer.startswith(b"http/1.1 201"):
            raise ConnectionError(f"a submission was refused: {answer.decode().splitlines()[0]}")
        number += 1
    writer.close()


async def load(url: str, clients: int, duration_s: float) -> dict[str, float]:
    """Let `clients` submit for so long; return what they got."""
    parts = urlsplit(url)
    times_s: list[float] = []
    began_s = time.perf_counter()
    names = [f"{os.getpid()}-{began_s:.6f}-{number}" for number in range(clients)]
    await asyncio.gather(
        *(client(parts.hostname or "", parts.port or 80, name, began_s + duration_s, times_s) for name in names)
    )
    per_second = len(times_s) / (time.perf_counter() - began_s)
    cuts = statistics.quantiles(times_s, n=100)
    return {"per_second": per_second, "p50_ms": 1e3 * cuts[49], "p99_ms": 1e3 * cuts[98]}


def main() -> None:
    """Measure, and print it."""
    url, clients, duration_s = sys.argv[1:]
    print(json.dumps(uvloop.run(load(url, int(clients), float(duration_s)))))


if __name__ == "__main__":
    main()
