"""Where a controller keeps its things, and how commands find it: `~/.ostinato`, or $OSTINATO_HOME."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from batch.errors import ControllerError, ControllerUnreachable

DEFAULT_PORT = 8733


@dataclass(frozen=True, slots=True)
class Address:
    """A controller and how to speak to it.

    `known_token`: whoever answers there must prove that it knows this one before it is sent any (token_proof.py).
    """

    url: str
    token: str | None = None
    known_token: str | None = None


@dataclass(frozen=True, slots=True)
class ControllerRecord:
    """What a controller that serves writes about itself.

    `process` tells its process from a later one of the same number (ProcessIdentity, as text); earlier versions left
    it out. So did they `host`, the address that it was told to serve at.
    """

    url: str
    pid: int
    database: str
    started_s: float
    process: str = ""
    host: str = ""


_RECORD_FIELDS = tuple(field.name for field in fields(ControllerRecord))


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The files of one controller. Only its user may read them."""

    path: Path

    @classmethod
    def of_user(cls, environment: Mapping[str, str] = os.environ) -> "StateFolder":
        """Return `$OSTINATO_HOME`, or `~/.ostinato`."""
        return cls(Path(environment.get("OSTINATO_HOME") or "~/.ostinato").expanduser().absolute())

    @property
    def database(self) -> Path:
        """The queue, when no other database is named."""
        return self.path / "queue.db"

    @property
    def token_path(self) -> Path:
        """The operator's token, for whoever may read this folder."""
        return self.path / "token"

    @property
    def agent_token_path(self) -> Path:
        """The token of the local agent."""
        return self.path / "agent-token"

    @property
    def record_path(self) -> Path:
        """Address and pid of the controller that serves."""
        return self.path / "controller.json"

    @property
    def code_path(self) -> Path:
        """Working folders of submitted jobs, by content."""
        return self.path / "code"

    @property
    def agent_path(self) -> Path:
        """The folder of the local agent: leases, and the folders of jobs."""
        return self.path / "agent"

    @property
    def logs_path(self) -> Path:
        """What controller and local agent print."""
        return self.path / "logs"

    def create(self) -> None:
        """Make the folder, and those in it, readable by their user only. Raises ControllerError."""
        try:
            for folder in (self.path, self.code_path, self.logs_path, self.agent_path):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ControllerError(
                f"the state folder {self.path} cannot be made ({error.strerror}): set OSTINATO_HOME to another one"
            ) from error

    def record(self) -> ControllerRecord | None:
        """Return what the controller that serves, or served last, wrote; None when there was none."""
        try:
            raw: dict[str, Any] = json.loads(self.record_path.read_text())
            # A controller of a later version may say more than we know.
            return ControllerRecord(**{name: raw[name] for name in _RECORD_FIELDS if name in raw})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ControllerError(
                f"{self.record_path} is damaged ({error}): remove it; `ostinato up` makes it anew"
            ) from error

    def write_record(self, record: ControllerRecord) -> None:
        """Write the record, whole or not at all."""
        self.write_private(self.record_path, json.dumps(asdict(record)) + "\n")

    def address(self, record: ControllerRecord, token: str | None = None) -> Address:
        """Return how to speak to the controller of this folder, as its operator unless `token` says who else."""
        own = read_token(self.token_path)
        return Address(record.url, token or own, known_token=own)

    def write_private(self, path: Path, text: str) -> None:
        """Write a file that only its user may read, whole or not at all."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)


def find_controller(environment: Mapping[str, str] = os.environ) -> Address:
    """Return where the controller is: $OSTINATO_CONTROLLER (token in $OSTINATO_TOKEN), or the user's own.

    Says nothing about whether it answers. Raises ControllerUnreachable when none was ever started here.
    """
    folder = StateFolder.of_user(environment)
    token = environment.get("OSTINATO_TOKEN") or None
    url = environment.get("OSTINATO_CONTROLLER")
    if url:
        return Address(url.rstrip("/"), token)
    record = folder.record()
    if record is None:
        raise ControllerUnreachable(
            f"no controller has been started in {folder.path}: `ostinato up` starts one, "
            "or set OSTINATO_CONTROLLER to the URL of another and OSTINATO_TOKEN to your token"
        )
    return folder.address(record, token)


def read_token(path: Path) -> str | None:
    """Return the token in a file, None when there is none. Raises ControllerError when the file cannot be read."""
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ControllerError(f"the token file {path} cannot be read: {error.strerror}") from error
