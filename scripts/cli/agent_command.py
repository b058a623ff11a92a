"""`agent`: runs what the controller leases to a pool."""

import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from batch.agent.node_processes import NodeProcesses
    from batch.model import Node

_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


def agent(
    *,
    controller: Annotated[str, typer.Option("--controller", help="http://host:port of the controller")],
    pool: Annotated[str, typer.Option("--pool", help="the pool whose leases it takes")],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="file with a token of role agent; read before each call")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="leases and jobs' folders; shared by all nodes [~/.ostinato/agents/POOL]"),
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="auto or host:port of a Ray cluster; without: this machine alone")
    ] = None,
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, help="of this machine, without --ray [all]")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=0, help="of this machine, without --ray [all]")] = None,
    accelerator: Annotated[str | None, typer.Option("--accelerator", help="their kind, as jobs ask for it")] = None,
    log_store: Annotated[
        Path | None, typer.Option("--log-store", help="folder for the logs of what is over [FOLDER/logs]")
    ] = None,
) -> int:
    """Take the leases of a pool from the controller, and run them, until SIGTERM or Ctrl-C.

    What runs goes on when the agent ends, however it ends; the next agent on the same folder takes it up.
    """
    from batch.agent.agent import Agent
    from batch.agent.attempts import Attempts
    from batch.agent.command import CommandLauncher
    from batch.agent.controller_link import ControllerLink, token_file as token_from
    from batch.agent.held_leases import AgentFolder
    from batch.agent.job_code import JobCode
    from batch.agent.logs import LogStore
    from scripts.train_jobs import TrainLauncher

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    token = token_from(token_file)
    home = AgentFolder(folder or Path("~/.ostinato/agents") / pool)
    processes = _processes(ray, this_machine(cpus, gpus, accelerator))
    commands = CommandLauncher(processes)
    code = JobCode(home.path / "code", ControllerLink(controller, pool, token).code)
    attempts = Attempts(
        home,
        {"command": commands, "train": TrainLauncher(commands, ray or "local")},
        processes,
        code,
        LogStore((log_store or home.path / "logs").expanduser().resolve()),
    )
    serving = Agent(home, attempts, processes, lambda: ControllerLink(controller, pool, token))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: serving.stop())
    logging.getLogger(__name__).info("agent of pool %s in %s, controller %s", pool, home.path, controller)
    serving.run()
    return ExitCode.OK


def this_machine(cpus: int | None = None, gpus: int | None = None, accelerator: str | None = None) -> "Node":
    """Return this machine as a node; what is not given is counted."""
    from batch.model import Node

    found = len(list(_NVIDIA_GPUS.iterdir())) if _NVIDIA_GPUS.is_dir() else 0
    return Node(
        name=socket.gethostname(),
        gpus=found if gpus is None else gpus,
        cpus=cpus or len(os.sched_getaffinity(0)),
        accelerator=accelerator,
    )


def _processes(ray: str | None, machine: "Node") -> "NodeProcesses":
    from batch.agent.node_processes import LocalProcesses

    if ray is None:
        return LocalProcesses([machine])
    from scripts.ray_nodes import RayNodes

    return RayNodes(ray)
