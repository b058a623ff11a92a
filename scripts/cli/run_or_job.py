"""Whether a name means a run folder, or a job or sweep of the queue: a run folder that is here comes first."""

from pathlib import Path

from batch.client import Client
from batch.errors import BatchQueueError, NotFoundError as NotInQueueError
from batch.state_folder import find_controller
from scripts.cli.cli_errors import NotFoundError
from scripts.cli.find_run import find_run


def is_job(name: str, folder: Path) -> bool:
    """Return whether `name` is a job or a sweep, and no run. When it is neither, the run's error is the one to show."""
    try:
        find_run(name, folder)
    except NotFoundError:
        return _is_known(name)
    return False


def _is_known(name: str) -> bool:
    try:
        with Client(find_controller()) as client:
            try:
                client.job(name)
            except NotInQueueError:
                client.sweep(name)
    except BatchQueueError:
        return False
    return True
