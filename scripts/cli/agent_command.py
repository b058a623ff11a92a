"""`agent`: runs what the controller leases to a pool."""

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from batch.agent.agent import Agent
    from batch.agent.controller_link import ControllerLink
    from batch.agent.node_processes import NodeProcesses
    from batch.model import Node
    from batch.state_folder import StateFolder

_LOG = logging.getLogger(__name__)
_MAX_NAME = 80
_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


def agent(  # noqa: PLR0913 - the options of one command line
    *,
    pool: Annotated[str, typer.Option("--pool", help="the pool whose leases it takes")],
    controller: Annotated[
        str | None, typer.Option("--controller", help="http://host:port of the controller [the user's own]")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="file with a token of role agent; read before each call [the user's own]"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="leases and jobs' folders; shared by all nodes [~/.ostinato/agents/POOL]"),
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="auto or host:port of a Ray cluster; without: this machine alone")
    ] = None,
    node: Annotated[
        str, typer.Option("--node", help="this machine, without --ray: cpus=8,gpus=2,accelerator=h100 [what it has]")
    ] = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="have the place of the pool's agent that lives; what it runs is ended")
    ] = False,
    succeed: Annotated[bool, typer.Option("--succeed", help="wait for the place of the agent that lives")] = False,
    log_store: Annotated[Path | None, typer.Option(help="folder for the logs of what is over [FOLDER/logs]")] = None,
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0.0, help="how long the folder of a job that is over stays at least")
    ] = 14.0,
    keep_newest: Annotated[
        int, typer.Option("--keep-newest", min=0, help="how many folders of jobs that are over always stay")
    ] = 100,
) -> int:
    """Take the leases of a pool from the controller, and run them, until SIGTERM or Ctrl-C.

    What runs goes on when the agent ends, however it ends; the next agent on the same folder takes it up.
    """
    from batch.agent.agent import Agent
    from batch.agent.attempts import Attempts
    from batch.agent.command import CommandLauncher
    from batch.agent.held_leases import AgentFolder
    from batch.agent.job_code import JobCode
    from batch.agent.logs import LogStore
    from batch.agent.retention import DAY_S, Retention
    from batch.launcher import Launcher
    from batch.state_folder import StateFolder
    from scripts.train_jobs import TrainLauncher

    _begin(pool)
    own = StateFolder.of_user()
    connect = _connector(own, controller, pool, token_file)
    home = AgentFolder(folder or own.path / "agents" / pool)
    code = JobCode(home.path / "code", connect().code)
    logs = LogStore((log_store or home.path / "logs").expanduser().resolve())
    with _processes(ray, node) as processes:
        commands = CommandLauncher(processes)
        launchers: dict[str, Launcher] = {"command": commands, "train": TrainLauncher(commands, ray or "local")}
        attempts = Attempts(home, launchers, processes, code, logs, Retention(keep_days * DAY_S, keep_newest))
        _LOG.info("agent of pool %s in %s, controller %s", pool, home.path, controller or f"of {own.path}")
        _serve(Agent(home, attempts, processes, connect, take_over=take_over, succeed=succeed))
    return ExitCode.OK


def _begin(pool: str) -> None:
    """Prepare this process: its log, and the environment that jobs get from it. Raises BadRequestError for `pool`."""
    from batch.errors import BadRequestError
    from scripts.origin import restore_search_path

    if "/" in pool or not pool.isprintable() or pool != pool.strip() or not 1 <= len(pool) <= _MAX_NAME:
        raise BadRequestError(f"--pool {pool[:_MAX_NAME]!a}: must have 1 to {_MAX_NAME} characters, and no slash")
    restore_search_path()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)


def _serve(agent: "Agent") -> None:
    """Let the agent serve until SIGTERM or Ctrl-C; called after Ray has been joined, which takes SIGTERM for itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    agent.run()


def _connector(
    own: "StateFolder", controller: str | None, pool: str, token_file: Path | None
) -> "Callable[[], ControllerLink]":
    """Return what makes a link to the controller: the one that is named, or else the user's own, wherever it serves."""
    from batch.agent.controller_link import ControllerLink, token_file as token_from

    if controller is not None:
        return lambda: ControllerLink(controller, pool, token_from(token_file))
    return lambda: ControllerLink(lambda: address_of(own), pool, token_from(token_file or own.agent_token_path))


def address_of(own: "StateFolder") -> str:
    """Return where the user's own controller serves now. Raises ControllerUnreachable when none was ever started."""
    from batch.errors import ControllerUnreachable

    record = own.record()
    if record is None:
        raise ControllerUnreachable(f"no controller has been started in {own.path}: `ostinato up` starts one")
    return record.url


def this_machine(words: str = "") -> "Node":
    """Return this machine as a node; what `words` (`name=value,...`) do not say is counted. Raises BadRequestError."""
    from batch.errors import BadRequestError
    from batch.model import Node

    said = dict(word.partition("=")[::2] for word in words.split(",") if word)
    unknown = sorted(set(said) - {"name", "cpus", "gpus", "accelerator"})
    numbers = {key: said.get(key, "0") for key in ("cpus", "gpus")}
    if unknown or not all(text.isdigit() for text in numbers.values()):
        raise BadRequestError(f"--node {words}: must be like cpus=8,gpus=2,accelerator=h100; name= is allowed too")
    found = len(list(_NVIDIA_GPUS.iterdir())) if _NVIDIA_GPUS.is_dir() else 0
    return Node(
        name=said.get("name", socket.gethostname()),
        gpus=int(numbers["gpus"]) if "gpus" in said else found,
        cpus=int(numbers["cpus"]) or len(os.sched_getaffinity(0)),
        accelerator=said.get("accelerator"),
    )


@contextlib.contextmanager
def _processes(ray: str | None, node: str) -> "Iterator[NodeProcesses]":
    """Give the places where the agent starts processes: a cluster's nodes, or this machine."""
    from batch.agent.node_processes import LocalProcesses

    if ray is None:
        yield LocalProcesses([this_machine(node)])
        return
    from scripts.ray_nodes import ray_processes

    with ray_processes(ray) as processes:
        yield processes
