"""A controller, and an agent if wanted, as processes of their own for the time of a measurement."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batch.client import Client
from batch.state_folder import Address, StateFolder, read_token
from scripts.embedded import start_controller, stop_controller


@dataclass(frozen=True, slots=True)
class Live:
    """A controller that serves."""

    folder: StateFolder
    address: Address

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        found = {**os.environ, "OSTINATO_HOME": str(self.folder.path), "OSTINATO_TOKEN": self.address.token or ""}
        found.pop("OSTINATO_CONTROLLER", None)
        return found

    def client(self) -> Client:
        """Return a client of the operator."""
        return Client(self.address)


@contextmanager
def live_controller(*, with_agent: bool) -> Iterator[Live]:
    """Start a controller on an empty queue, on the disk of temporary files, and end it afterwards."""
    home = StateFolder(Path(tempfile.mkdtemp(prefix="ostinato-queue-")))
    try:
        record = start_controller(home, with_agent=with_agent)
        yield Live(home, Address(record.url, read_token(home.token_path)))
    finally:
        stop_controller(home)
        shutil.rmtree(home.path, ignore_errors=True)
