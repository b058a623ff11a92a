"""`python -m batch.controller`: serves one queue until it is told to end. `ostinato up` starts it."""

import argparse
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from batch.agent.process_identity import ProcessIdentity
from batch.controller.app import create_app
from batch.controller.roles import Role
from batch.controller.service import Service
from batch.controller.tokens import PREFIX
from batch.controller.whole_writes import Protocol
from batch.errors import BatchQueueError, ControllerError, NotAllowedError, StoreError
from batch.job_queue import Queue
from batch.state_folder import DEFAULT_PORT, ControllerRecord, StateFolder, read_token

LOCAL_OPERATOR = "local"
LOCAL_AGENT = "local-agent"
_SHUTDOWN_S = 3
_KEEP_ALIVE_S = 75
_NEW_OBJECTS = 20_000
"""Made between two looks for garbage among them. Jobs stay: looking after every 700 objects took 5 % of the time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to serve, and what. `port` 0: the default one if it is free, else any."""

    folder: StateFolder
    host: str = "127.0.0.1"
    port: int = 0
    database: str | None = None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Blocking; what runs goes on when it returns.

    Raises StoreError when nothing can be written any more, StoreInUseError when another controller has the database,
    ControllerError when the address is taken, and NotAllowedError for an address that others can reach while there is
    no token that was made for them.
    """
    folder = settings.folder
    folder.create()
    database = settings.database or str(folder.database)
    with Queue.open(database) as queue:
        service = Service(queue, folder.code_path)
        _check_reach(settings.host, service)
        _ensure_token(service, folder, folder.token_path, LOCAL_OPERATOR, Role.OPERATOR)
        _ensure_token(service, folder, folder.agent_token_path, LOCAL_AGENT, Role.AGENT)
        with _bound(settings.host, settings.port) as listener:
            url = _url(settings.host, listener.getsockname()[1])
            process = str(ProcessIdentity.of(os.getpid()))
            record = ControllerRecord(url, os.getpid(), database, time.time(), process, settings.host)
            _Server(service, folder, record).run(sockets=[listener])
        if queue.failure is not None:
            raise StoreError(f"{queue.failure}: the controller has ended; started again it knows what was acknowledged")


class _Server(uvicorn.Server):
    """Writes the record once requests are answered, so that whoever finds it can connect."""

    def __init__(self, service: Service, folder: StateFolder, record: ControllerRecord) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(service),
                loop="uvloop",
                http=Protocol,
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # nothing here depends on where a request says that it comes from
                # A stream of events would otherwise keep us from ending.
                timeout_graceful_shutdown=_SHUTDOWN_S,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )
        )
        self._service = service
        self._folder = folder
        self._record = record

    async def on_tick(self, counter: int) -> bool:
        """End also when nothing can be written any more: a new process can, and this one could only refuse."""
        return await super().on_tick(counter) or self._service.queue.failure is not None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._folder.write_record(self._record)
        _log.info("serving %s at %s", self._record.database, self._record.url)


def _check_reach(host: str, service: Service) -> None:
    made = [token for token in service.tokens.all() if token.name not in {LOCAL_OPERATOR, LOCAL_AGENT}]
    if not made and not _is_loopback(host):
        raise NotAllowedError(
            f"--host {host} can be reached from other machines, and there are no tokens for people there: start on "
            "127.0.0.1 first, make some with `ostinato token create`, then serve there, behind TLS"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _ensure_token(service: Service, folder: StateFolder, path: Path, name: str, role: Role) -> None:
    secret = read_token(path)
    if secret is None:
        secret = PREFIX + secrets.token_urlsafe(32)
        folder.write_private(path, secret + "\n")
    service.tokens.keep(secret, name, role)


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket: at `port`, or, when that is 0, at the default port if it is free, else at any."""
    if port:
        return _bind(host, port)
    try:
        return _bind(host, DEFAULT_PORT)
    except ControllerError:
        return _bind(host, 0)


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # until then another that starts just now can bind the port too, and the later hears nothing
    except OSError as error:
        listener.close()
        raise ControllerError(
            f"cannot serve at {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from error
    return listener


def _url(host: str, port: int) -> str:
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    shown = anywhere.get(host) or (f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the process; return its exit code: 0, or 4 when it could not serve."""
    parser = argparse.ArgumentParser(prog="python -m batch.controller", description=__doc__)
    parser.add_argument("--home", type=Path, help="state folder; default: $OSTINATO_HOME or ~/.ostinato")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--db", help="database: a path or sqlite:///PATH")
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = StateFolder(given.home.absolute()) if given.home else StateFolder.of_user()
    gc.set_threshold(_NEW_OBJECTS)
    # uvicorn ends its own work at a signal and then raises it again, which must not keep the queue from closing.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(Settings(folder, given.host, given.port, given.db))
    except KeyboardInterrupt:
        return 0
    except BatchQueueError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 4
    return 0
