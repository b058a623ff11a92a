"""The keeper: one process per node, user and run that makes snapshots durable, and outlives the workers.

`python -m checkpoint.keeper FOLDER` leaves its caller's process group and session and goes on in the background.
It ends by itself, removing the arenas, when the run retires or when nobody has been there for a while.
"""

import argparse
import contextlib
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from checkpoint.arena_sets import ArenaSet, list_sets, superseded
from checkpoint.keeper_protocol import (
    Connection,
    Hello,
    listen,
    remove_endpoint,
    remove_lock,
    take_lock,
)
from checkpoint.keeper_saves import Answer, Offer, Saves

_TICK_S = 0.25
_NICENESS = 10
_SEND_TIMEOUT_S = 5


class Keeper:
    """Serves the ranks of one run on this node. `serve` runs in the main thread, one thread reads each rank."""

    def __init__(self, folder: Path, linger_s: float) -> None:
        self._folder = folder
        self._linger_s = linger_s
        self._lock = threading.Lock()
        self._clients: dict[Connection, Hello] = {}
        self._saves: dict[tuple[int, int], Saves] = {}
        self._log_path: str | None = None
        self._retiring = False
        self._stopping = False
        self._ending = False
        self._needed_s = time.monotonic()

    def serve(self) -> None:
        """Serve until the run retires, nobody is left, or SIGTERM. Saves in flight are finished first."""
        server = listen(self._folder)
        server.settimeout(_TICK_S)
        signal.signal(signal.SIGTERM, self._stop)
        while not self._may_end():
            with contextlib.suppress(TimeoutError):
                stream, _ = server.accept()
                self._welcome(stream)
            self._tick()
        remove_endpoint(self._folder)
        server.close()
        self._log("ends")
        self._clean_up()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _may_end(self) -> bool:
        with self._lock:
            clients, busy = bool(self._clients), any(saves.busy for saves in self._saves.values())
        if clients or busy:
            self._needed_s = time.monotonic()
        if busy:
            return False
        idle_s = time.monotonic() - self._needed_s
        with self._lock:
            # Decided under the lock: a rank that was greeted after this would lose its arena to the cleaning.
            unneeded = not self._clients and (self._retiring or idle_s > self._linger_s)
            self._ending = self._stopping or unneeded
        return self._ending

    def _clean_up(self) -> None:
        """Remove everything of the run, unless ranks are still there: then they start another keeper."""
        if not self._clients:
            for found in list_sets(self._folder):
                found.remove()
        remove_lock(self._folder)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _tick(self) -> None:
        with self._lock:
            saves = list(self._saves.values())
        for each in saves:
            each.look_up_decision()
        if len(list_sets(self._folder)) > 1:
            busy = {(each.found.fence, each.found.generation) for each in saves if each.busy}
            for found in superseded(self._folder):
                if (found.fence, found.generation) not in busy:
                    found.remove()
                    self._log(f"removed the arenas of fence {found.fence}, generation {found.generation}")

    def _welcome(self, stream: socket.socket) -> None:
        stream.settimeout(None)
        # A rank that is stopped and reads nothing must not hold up the others.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT_S, 0))
        threading.Thread(target=self._read, args=(Connection(stream),), name="client", daemon=True).start()

    def _read(self, connection: Connection) -> None:
        """Serve one rank until it hangs up or dies."""
        try:
            while True:
                for message in connection.receive(None):
                    self._handle(connection, message)
        except OSError:
            pass
        finally:
            with self._lock:
                gone = self._clients.pop(connection, None)
                self._needed_s = time.monotonic()
            connection.close()
            if gone:
                self._log(f"rank {gone.rank} of fence {gone.fence}, generation {gone.generation} has hung up")

    def _handle(self, connection: Connection, message: Mapping[str, Any]) -> None:
        operation = message["op"]
        if operation == "hello":
            self._greet(connection, Hello.from_json(message))
            return
        hello = self._clients[connection]
        saves = self._saves[hello.fence, hello.generation]
        if operation == "save":
            saves.offer(Offer(hello.rank, message["step"], message["slot"]))
        elif operation == "skip":
            saves.decide(message["step"], accepted=False)
        elif operation == "retire":
            self._retiring = True

    def _greet(self, connection: Connection, hello: Hello) -> None:
        owner = (hello.fence, hello.generation)
        with self._lock:
            if self._ending:
                raise ConnectionAbortedError("the keeper is ending: start another one")
            self._log_path = hello.log_path or self._log_path
            self._retiring = False
            if owner not in self._saves:
                found = ArenaSet(*owner, self._folder / f"{hello.fence}-{hello.generation}")
                self._saves[owner] = Saves(found, hello.world_size, hello.target, self._answer_of(owner), self._log)
            self._log(f"rank {hello.rank} of {hello.world_size}, fence {hello.fence}, generation {hello.generation}")
            connection.send({"op": "welcome", "pid": os.getpid()})
            self._clients[connection] = hello

    def _answer_of(self, owner: tuple[int, int]) -> Answer:
        def answer(rank: int, message: dict[str, Any]) -> None:
            with self._lock:
                for connection, hello in self._clients.items():
                    if (hello.fence, hello.generation, hello.rank) == (*owner, rank):
                        with contextlib.suppress(OSError):
                            connection.send(message)

        return answer

    def _log(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} keeper[{os.getpid()}] {text}\n"
        if self._log_path:
            with contextlib.suppress(OSError), Path(self._log_path).open("a", encoding="utf-8") as log:
                log.write(line)


def main(arguments: list[str]) -> int:
    """Become the keeper of a folder, unless it has one."""
    parser = argparse.ArgumentParser(prog="python -m checkpoint.keeper", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--linger-s", type=float, required=True, help="seconds to stay when nobody is there")
    options = parser.parse_args(arguments)
    lock = take_lock(options.folder)
    if lock is None:
        return 0
    # The caller waits for its child, which is this process; the keeper is the grandchild, belongs to nobody, and
    # inherits the lock.
    if os.fork():
        os._exit(0)
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Keeper(options.folder, options.linger_s).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
