"""Which process is meant: a number that survives the reuse of process ids. Linux; the standard library only.

A process id is used again soon. With the time the process started (clock ticks since boot) and the id of the boot it
names one process for ever.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_STATE, _SESSION, _START = 0, 3, 19
"""Positions after the command's closing parenthesis in /proc/<pid>/stat: proc(5) fields 3, 6 and 22."""


class ProcessIdentity(NamedTuple):
    """One process of one boot of one machine."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of the process that has `pid` now; None when there is none, or it is a zombie."""
        fields = _stat(pid)
        if fields is None or fields[_STATE] == "Z":
            return None
        return cls(pid, int(fields[_START]), boot_id())

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity":
        """Return the identity that `str` gave. Raises ValueError."""
        pid, ticks, boot = text.split("@")
        return cls(int(pid), int(ticks), boot)

    def __str__(self) -> str:
        return f"{self.pid}@{self.start_ticks}@{self.boot}"

    def is_alive(self) -> bool:
        """Return whether this process, and not another with its id, lives on this machine."""
        return ProcessIdentity.of(self.pid) == self

    def kill_session(self, mark: str) -> int:
        """Kill what is left of the session that this process led; return how many processes got SIGKILL.

        Only processes with `mark` (`NAME=value`) in their environment: when the session is empty its id may have been
        given to a stranger.
        """
        killed = 0
        for pid in session_members(self.pid):
            if pid != os.getpid() and has_in_environment(pid, mark):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed


def boot_id() -> str:
    """Return the id of this boot of this machine."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename


def session_members(session: int) -> Iterator[int]:
    """Yield the process ids of a session, its leader included. Raises ValueError for the machine's own sessions."""
    if session <= 1:  # 0 is the kernel's, and whose session was begun outside our container; 1 is that of init
        raise ValueError(f"session {session}: must be one that a process of ours leads")
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            fields = _stat(pid)
            if fields is not None and int(fields[_SESSION]) == session and fields[_STATE] != "Z":
                yield pid


def has_in_environment(pid: int, mark: str) -> bool:
    """Return whether the process was started with `mark` (`NAME=value`) in its environment."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return mark.encode() in environment.split(b"\0")


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything, spaces and parentheses too.
    return text.rpartition(")")[2].split()
