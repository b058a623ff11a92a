"""Where processes can be started: the protocol, and the machine that the agent itself runs on."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from batch.agent.process_identity import ProcessIdentity
from batch.errors import LaunchError
from batch.model import Node

RUNNER_PATH = Path(__file__).resolve().with_name("runner.py")
NOBODY = str(ProcessIdentity(0, 0, ""))
"""The identity of a process that never was."""
_NOT_INHERITED = frozenset({"OSTINATO_TOKEN", "RAY_JOB_ID", "RAY_RAYLET_PID"})
"""What a job must not have from the agent or from Ray: the right to speak for the pool, the place of a worker."""
_NURSERY: "list[subprocess.Popen[bytes]]" = []
"""The process that forks the runners of this process, once there is one."""


class NodeProcesses(Protocol):
    """The nodes of a pool. Called from one thread; no call blocks for longer than a second or so.

    All nodes see the agent's folder under the same path: it is on one machine or on a shared file system.
    """

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes that can start processes now."""
        ...

    def address(self, node: str) -> str:
        """Return the address at which other nodes reach this one. Raises LaunchError when it is not there."""
        ...

    def start(self, node: str, folder: str, environment: Mapping[str, str]) -> None:
        """Start a runner for `folder` on `node`, with `environment` on top of the node's own. Raises LaunchError.

        The runner outlives whatever started it. Returns before it has read its order.
        """
        ...

    def living(self, processes: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """Return which processes (identities as text, by node) live; all of a node that does not answer in time."""
        ...

    def kill_session(self, node: str, process: str, mark: str) -> None:
        """Kill what a dead runner left behind on `node`: see ProcessIdentity.kill_session."""
        ...


class LocalProcesses:
    """This machine, as one node or, to try gangs, as several. Starts runners directly: no Ray is needed."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = tuple(nodes)

    def nodes(self) -> tuple[Node, ...]:
        """See NodeProcesses."""
        return self._nodes

    def address(self, node: str) -> str:
        """See NodeProcesses."""
        if all(each.name != node for each in self._nodes):
            names = ", ".join(each.name for each in self._nodes)
            raise LaunchError(f"node {node} is not of this pool: it has {names}")
        return "127.0.0.1"

    def start(self, node: str, folder: str, environment: Mapping[str, str]) -> None:
        """See NodeProcesses."""
        self.address(node)
        start_runner(folder, environment)

    def living(self, processes: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """See NodeProcesses."""
        every = (text for texts in processes.values() for text in texts)
        return frozenset(text for text in every if ProcessIdentity.parse(text).is_alive())

    def kill_session(self, node: str, process: str, mark: str) -> None:
        """See NodeProcesses."""
        ProcessIdentity.parse(process).kill_session(mark)


def start_runner(folder: str, environment: Mapping[str, str]) -> None:
    """Start a runner for `folder` on this machine; called in whatever process is there. Raises LaunchError."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    body = json.dumps([folder, {**inherited, **environment}]).encode()
    message = len(body).to_bytes(4, "big") + body
    try:
        _write(message)
    except OSError:  # somebody has killed the nursery: once more, with a new one
        _NURSERY.clear()
        try:
            _write(message)
        except OSError as error:
            raise LaunchError(f"{RUNNER_PATH} cannot be started: {error.strerror}") from error


def _write(message: bytes) -> None:
    if not _NURSERY or _NURSERY[0].poll() is not None:
        _NURSERY[:] = [_new_nursery()]
    pipe = _NURSERY[0].stdin
    assert pipe is not None
    pipe.write(message)
    pipe.flush()


def _new_nursery() -> "subprocess.Popen[bytes]":
    # Isolated and without site-packages: it starts in half the time, whatever the environment holds.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(RUNNER_PATH)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
