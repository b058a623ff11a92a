"""How commands reach the queue: the controller that is configured, the user's own, or one that is started now."""

import getpass
import os
import sys
from typing import Annotated

import typer

from batch.client import Client
from batch.errors import ControllerUnreachable
from batch.state_folder import StateFolder, find_controller

JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="id, beginning of an id, name, or SWEEP.INDEX for a member of a sweep")
]
JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="ids, names, or SWEEP.INDEX")]


def connect() -> Client:
    """Return a client of the controller. Raises ControllerUnreachable when none was ever started or configured."""
    return Client(find_controller())


def connect_or_start() -> Client:
    """Return a client; when no controller is configured and the user's own does not run, start it, and say so."""
    if os.environ.get("OSTINATO_CONTROLLER"):
        return connect()
    from scripts.embedded import revive_agent, start_controller

    try:
        client = connect()
        client.health()
        revive_agent(StateFolder.of_user())
    except ControllerUnreachable:
        folder = StateFolder.of_user()
        record = start_controller(folder)
        sys.stderr.write(
            f"started a controller of your own at {record.url} (state in {folder.path}); `ostinato down` stops it\n"
        )
        return connect()
    return client


def user_name() -> str:
    """Return who submits: $OSTINATO_USER, or the user of this machine."""
    return os.environ.get("OSTINATO_USER") or getpass.getuser()
