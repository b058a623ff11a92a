"""Whether a name means a run folder, or a job or sweep of the queue: a run folder that is here comes first."""

from pathlib import Path

from batch.client import Client
from batch.errors import (
    AmbiguousIdError,
    BatchQueueError,
    ControllerUnreachable,
    NotFoundError as NotInQueueError,
)
from batch.state_folder import find_controller
from scripts.cli.cli_errors import NotFoundError
from scripts.cli.find_run import find_run


def is_job(name: str, folder: Path) -> bool:
    """Return whether `name` is a job or a sweep, and no run. When it is neither, the run's error is the one to show.

    Raises the queue's error, with that of the run before it, when there is a queue that cannot be asked.
    """
    try:
        find_run(name, folder)
    except NotFoundError as error:
        try:
            return _is_known(name)
        except BatchQueueError as refusal:
            refusal.args = (f"{error}; nor can the queue be asked for a job of that name: {refusal}",)
            raise
    return False


def _is_known(name: str) -> bool:
    try:
        address = find_controller()
    except ControllerUnreachable:
        return False  # nobody has ever had one here
    with Client(address) as client:
        try:
            client.job(name)
        except AmbiguousIdError:
            return True
        except NotInQueueError:
            return _is_sweep(client, name)
    return True


def _is_sweep(client: Client, name: str) -> bool:
    try:
        client.sweep(name)
    except NotInQueueError:
        return False
    return True
