"""The process beside each process of an attempt: starts it, stops it, and writes down how it ended.

`python -I -S runner.py` is the nursery: for each message on its input (its length in four bytes, then JSON: a folder
and an environment) it forks a runner, which costs 2 ms where a new interpreter costs 40. It ends with its input.

A runner leads a session of its own, so that the death of the agent, of a Ray actor and of the nursery change nothing.
What agent and runner say to each other lies in the folder, which may be on a file system shared with another node:

    order.json    agent   what to run
    started.json  runner  who runs it; exists once: a second runner for the same folder leaves without a word
    stop.json     agent   end it: {"now": bool, "why": ...}
    limit.json    agent   how long it may run since its start, in place of what order.json says
    exit.json     runner  how it ended; durable, in room that was taken before the start, should the disk be full

The standard library only, and little of it: neither dataclasses nor subprocess, which cost half of its start.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from batch.agent.atomic_files import create_json, read_json, replace_json
from batch.agent.process_identity import ProcessIdentity, session_members

_LOOK_S = 0.2
"""How often stop.json is looked for."""
_ROOM_BYTES = 1024
_WAKING = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Order(NamedTuple):
    """What to run. `folder` is the working directory, `log` gets standard output and error.

    `to_group`: SIGTERM goes to all processes of the command, and not to the first alone, which tells its own.
    """

    command: tuple[str, ...]
    folder: str
    log: str
    grace_s: float
    time_limit_s: float | None
    to_group: bool

    @classmethod
    def read(cls, path: Path) -> "Order":
        """Return the order in `path`. Raises KeyError or TypeError when it is damaged."""
        raw = read_json(path) or {}
        return cls(**{**raw, "command": tuple(raw["command"])})


def main() -> None:
    """Fork a runner for each message on standard input, until its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the runners
    while message := _read(int.from_bytes(_read(4), "big")):
        if os.fork() == 0:
            folder, environment = json.loads(message)
            os.environ.clear()
            os.environ.update(environment)
            run(Path(folder))
            os._exit(0)


def _read(count: int) -> bytes:
    """Return the next `count` bytes of standard input; nothing when it ends before."""
    # Not through sys.stdin: what that has read ahead would be copied into the runner.
    data = b""
    while len(data) < count:
        found = os.read(0, count - len(data))
        if not found:
            return b""
        data += found
    return data


def run(folder: Path) -> None:
    """Run the order in `folder` to its end, in a session of its own."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    identity = ProcessIdentity.of(os.getpid())
    order = Order.read(folder / "order.json")
    if not create_json(folder / "started.json", {"process": str(identity), "started_s": time.time()}):
        return
    # The log holds our own troubles too. Blocked signals wait for sigtimedwait instead of interrupting us.
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    room = folder / ".exit.room"
    room.write_bytes(b" " * _ROOM_BYTES)
    _keep(folder / "exit.json", _run(order, folder), room)


def _keep(path: Path, end: dict[str, Any], room: Path) -> None:
    """Write down how it ended; on a full disk into the blocks that `room` has."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        replace_json(path, end, durable=True)
        room.unlink(missing_ok=True)
    except OSError:
        with room.open("r+b") as file:
            file.write(json.dumps(end).encode())
            file.flush()
            os.fsync(file.fileno())
        room.replace(path)


def _run(order: Order, folder: Path) -> dict[str, Any]:
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
    ooms = _oom_kills()
    if (folder / "stop.json").exists():
        return _exit(None, (read_json(folder / "stop.json") or {}).get("why", "stop"), ooms)
    try:
        os.chdir(order.folder)
        child = _spawn(order.command)
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        os.write(2, f"ostinato: {order.command[0]}: {error.strerror} (working folder {order.folder})\n".encode())
        return {**_exit(None, None, ooms), "code": code}
    code, why = _Watch(order, folder, child).until_end()
    _kill_rest()
    return _exit(code, why, ooms)


def _spawn(command: tuple[str, ...]) -> int:
    """Start the command, leading a process group, with signals as they are for any program; return its id."""
    return os.posix_spawnp(
        command[0],
        command,
        os.environ,
        setpgroup=0,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE,),
    )


class _Watch:
    """Waits for the child, a request to stop it, its time limit, and the end of its grace."""

    def __init__(self, order: Order, folder: Path, child: int) -> None:
        self._order = order
        self._stop_path = folder / "stop.json"
        self._limit_path = folder / "limit.json"
        self._child = child
        self._why: str | None = None
        self._kill_s: float | None = None
        self._began_s = time.monotonic()
        self._limit_s = order.time_limit_s

    def until_end(self) -> tuple[int, str | None]:
        """Return its exit code (of a signal: minus its number) and why it was stopped, None when it ended by itself."""
        while True:
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status), self._why
            woken = signal.sigtimedwait(_WAKING, _LOOK_S)
            if woken is not None and woken.si_signo != signal.SIGCHLD:
                self._ask("signal")
            self._look()

    def _look(self) -> None:
        now_s = time.monotonic()
        if self._limit_path.exists():
            self._limit_s = (read_json(self._limit_path) or {}).get("time_limit_s", self._limit_s)
        if self._limit_s is not None and now_s > self._began_s + self._limit_s:
            self._ask("time_limit")
        if self._stop_path.exists():
            request = read_json(self._stop_path) or {}
            self._ask(request.get("why", "stop"))
            if request.get("now"):
                self._kill_s = now_s
        if self._kill_s is not None and now_s >= self._kill_s:
            _kill_rest()

    def _ask(self, why: str) -> None:
        """Send SIGTERM, once; whoever asks first gives the reason."""
        if self._why is None:
            self._why = why
            self._kill_s = time.monotonic() + self._order.grace_s
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if self._order.to_group else os.kill)(self._child, signal.SIGTERM)


def _kill_rest() -> None:
    """Kill all of our session but us, so that nothing stays behind holding memory or devices.

    What has left the session on purpose stays: the keeper, for one, which still has snapshots to save.
    """
    for pid in session_members(os.getpid()):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _exit(code: int | None, why: str | None, ooms_before: int) -> dict[str, Any]:
    """Return what exit.json says: `code` as a shell would tell it, `why` it was stopped, None when by itself."""
    shell_code = 128 - code if code is not None and code < 0 else code
    return {"code": shell_code, "why": why, "out_of_memory": _oom_kills() > ooms_before, "ended_s": time.time()}


def _oom_kills() -> int:
    """Return how often the kernel has killed for lack of memory since boot, on the machine or in our container."""
    total = 0
    for path in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError):
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    total += int(line.split()[1])
    return total


if __name__ == "__main__":
    main()
