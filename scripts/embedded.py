"""Starts and ends a user's own controller, and the agent that runs its jobs on this machine, as processes."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from batch.agent.process_identity import ProcessIdentity
from batch.client import Client
from batch.errors import ControllerError, ControllerUnreachable
from batch.state_folder import ControllerRecord, StateFolder
from scripts.origin import OUTER_SEARCH_PATH, REPOSITORY

LOCAL_POOL = "local"
_LOOPBACK = "127.0.0.1"
_CONTROLLER, _AGENT = "batch.controller", "scripts.cli"
"""The modules that their processes run."""
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.02
_FOLLOW_POLL_S = 0.5
_REVIVE_EVERY_S = 10.0


def start_controller(
    folder: StateFolder,
    *,
    host: str | None = None,
    port: int = 0,
    database: str | None = None,
    with_agent: bool = True,
) -> ControllerRecord:
    """Return the controller of `folder` once it answers; starts it, and its agent, when they do not run.

    `host` None and `port` 0: loopback, at any port, when it is started, and wherever it serves already. Blocking, for
    at most two minutes. Several processes may call at the same time: one starts, all return the same.
    Raises ControllerError with the end of its log when it does not start, and when one serves elsewhere already.
    """
    folder.create()
    with _alone(folder.path / "start.lock"):
        record = folder.record()
        if record is None or not _answers(folder, record):
            words = ["--home", str(folder.path), "--host", host or _LOOPBACK, "--port", str(port)]
            words += [] if database is None else ["--db", database]
            record = _started(_spawn(_CONTROLLER, words, folder.logs_path / "controller.log"), folder)
        _check_place(record, host, port, database)
        if with_agent:
            _start_agent(folder)
        elif agent_pid(folder) is None:
            _agent_pid_path(folder).unlink(missing_ok=True)
    return record


def _check_place(record: ControllerRecord, host: str | None, port: int, database: str | None) -> None:
    wanted = [f"--host {host}"] if host not in {None, record.host} else []
    wanted += [f"--port {port}"] if port and port != urlsplit(record.url).port else []
    wanted += [f"--db {database}"] if database not in {None, record.database} else []
    if wanted:
        raise ControllerError(
            f"a controller serves {record.database} at {record.url} already, and not with {' '.join(wanted)}: "
            "`ostinato down` ends it first"
        )


def revive_agent(folder: StateFolder) -> bool:
    """Start the agent of `folder` again when it has died; one that was ended, or never wanted, stays away.

    Returns whether it had died. Blocking, for some milliseconds.
    """
    if not _agent_pid_path(folder).exists() or agent_pid(folder) is not None:
        return False
    with _alone(folder.path / "start.lock"):
        return _start_agent(folder)


def _start_agent(folder: StateFolder) -> bool:
    """Start the agent unless it runs; return whether it did not. With the lock held."""
    if agent_pid(folder) is not None:
        return False
    # It finds the controller through the folder, at whatever port that serves now or later.
    words = ["agent", "--pool", LOCAL_POOL, "--succeed", "--folder", str(folder.agent_path)]
    agent = _spawn(_AGENT, words, folder.logs_path / "agent.log", OSTINATO_HOME=str(folder.path))
    # Of one that has ended already nothing is said: that it is wanted, the file says by being there.
    folder.write_private(_agent_pid_path(folder), f"{ProcessIdentity.of(agent.pid) or ''}\n")
    return True


def stop_controller(folder: StateFolder) -> list[str]:
    """End agent and controller of `folder`, and return which of them ran. Jobs go on. Raises ControllerError."""
    stopped = []
    agent = _agent(folder)
    try:
        _agent_pid_path(folder).unlink(missing_ok=True)  # first: whoever sees it without its process starts it again
    except OSError as error:
        raise ControllerError(
            f"{_agent_pid_path(folder)} cannot be removed ({error.strerror}), and with it the agent would be started "
            f"again: make {folder.path} writable"
        ) from error
    if agent is not None:
        _end(agent, "the agent")
        stopped.append("the agent")
    controller = _controller(folder)
    if controller is not None:
        _end(controller, "the controller")
        stopped.append("the controller")
    return stopped


def follow(folder: StateFolder) -> None:
    """Return when the controller of `folder` has ended; until then, start its agent again should that die."""
    revived_s = -_REVIVE_EVERY_S
    while _controller(folder) is not None:
        if time.monotonic() - revived_s > _REVIVE_EVERY_S and revive_agent(folder):
            sys.stderr.write(f"the agent had ended ({folder.logs_path / 'agent.log'} says why) and is started again\n")
            revived_s = time.monotonic()
        time.sleep(_FOLLOW_POLL_S)


def agent_pid(folder: StateFolder) -> int | None:
    """Return the process of the agent of `folder`, None when it does not run."""
    agent = _agent(folder)
    return None if agent is None else agent.pid


def _agent(folder: StateFolder) -> ProcessIdentity | None:
    try:
        return _living(_agent_pid_path(folder).read_text().strip(), _AGENT)
    except FileNotFoundError:
        return None


def _controller(folder: StateFolder) -> ProcessIdentity | None:
    record = folder.record()
    return None if record is None else _living(record.process or str(record.pid), _CONTROLLER)


def _agent_pid_path(folder: StateFolder) -> Path:
    return folder.path / "agent.pid"


def _spawn(module: str, words: Sequence[str], log: Path, **variables: str) -> "subprocess.Popen[bytes]":
    """Start one of our modules, in a session of its own, so that neither Ctrl-C nor a closed terminal ends it.

    -P: the user's folder may have packages of the same names.
    """
    theirs = os.environ.get("PYTHONPATH", "")
    # Joined without it when it is empty: an empty entry means the working folder, whatever modules lie there.
    search = os.pathsep.join(filter(None, [str(REPOSITORY), theirs]))
    environment = {**os.environ, **variables, "PYTHONPATH": search, OUTER_SEARCH_PATH: theirs}
    environment.pop("OSTINATO_TOKEN", None)
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=environment,
        )


def _started(process: "subprocess.Popen[bytes]", folder: StateFolder) -> ControllerRecord:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        record = folder.record()
        if record is not None and record.pid == process.pid and _answers(folder, record):
            return record
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    ended = f"ended with {process.returncode}" if process.poll() is not None else f"silent for {_START_TIMEOUT_S:g} s"
    log = folder.logs_path / "controller.log"
    lines = log.read_text(errors="replace").splitlines()
    said = lines[-1] if lines else "it said nothing"
    raise ControllerError(f"the controller did not start ({ended}): {said}\nall of it is in {log}")


def _answers(folder: StateFolder, record: ControllerRecord) -> bool:
    """Say whether the controller of `folder`, and not somebody else at its old port, answers."""
    try:
        with Client(folder.address(record), timeout_s=5.0) as client:
            client.health()
    except ControllerUnreachable:
        return False
    return True


def _living(written: str, module: str) -> ProcessIdentity | None:
    """Return the process that was written down, while it lives; not one that got its number later, as after a boot.

    A bare number, which earlier versions wrote, is known by `module` among the words of its command line.
    """
    pid, _, start = written.partition("@")
    found = ProcessIdentity.of(int(pid)) if pid.isdecimal() else None
    is_it = str(found) == written if start else _has_word(pid, module)
    return found if is_it else None


def _has_word(pid: str, word: str) -> bool:
    try:
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _end(process: ProcessIdentity, what: str) -> None:
    os.kill(process.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    while process.is_alive():
        if time.monotonic() > deadline_s:
            pid = process.pid
            raise ControllerError(f"{what} (pid {pid}) has not ended in {_STOP_TIMEOUT_S:g} s; `kill -9 {pid}` is safe")
        time.sleep(_POLL_S)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
