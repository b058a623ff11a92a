"""The leases that an agent has, on disk: what a restarted agent adopts. One JSON file each, replaced as a whole."""

import fcntl
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from batch.agent.atomic_files import read_json, replace_json
from batch.agent.messages import Grant
from batch.errors import ConflictError, ControllerError
from batch.json_values import from_json, to_json
from batch.launcher import Ended
from batch.model import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """One lease, as the agent keeps it. `is_started`: a launcher may have been told to start it.

    `stop` is None, `save` or `now`. `refusal` is why it could not be started. `ended` is only kept here where no
    launcher knows it.
    """

    grant: Grant
    is_started: bool = False
    devices: tuple[tuple[int, ...], ...] = ()
    code_path: str | None = None
    stop: str | None = None
    refusal: str | None = None
    refusal_cause: Cause = Cause.LAUNCH
    ended: Ended | None = None


class AgentFolder:
    """An agent's folder: its name, its leases, the jobs' folders. One process at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Lock the folder, made when it is not there.

        Raises ConflictError when another agent process has it, ControllerError when it cannot be written.
        """
        self.path = path.expanduser().resolve()
        self._leases = self.path / "leases"
        try:
            self._open()
        except OSError as error:
            raise ControllerError(
                f"the agent's folder {self.path} cannot be written ({error.strerror}): make room there, or choose "
                "another --folder; what runs goes on, and the next agent on this folder takes it up"
            ) from error

    def _open(self) -> None:
        self._leases.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConflictError(f"{self.path}: another agent runs there; stop it or choose another --folder") from None
        known = read_json(self.path / "agent.json") or {}
        self.agent = str(known.get("agent") or uuid.uuid4().hex)
        self._queue = str(known.get("queue") or "")
        self._starts = int(known.get("starts", 0)) + 1
        self.highest_uid = int(known.get("highest_uid", 0))
        self._write()

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    @property
    def first_sequence(self) -> int:
        """Return where this process begins to count its requests: above all that processes before it sent."""
        return self._starts << 32

    @property
    def queue(self) -> str:
        """Return whose jobs these are; empty before any controller has said so."""
        return self._queue

    def belong_to(self, queue: str) -> None:
        """Note whose jobs these are. Raises ConflictError when they are another queue's: their ids mean other jobs."""
        if queue and self._queue and queue != self._queue:
            raise ConflictError(
                f"{self.path} has the jobs of another queue: the database of the controller was replaced, or this is "
                "another controller. They go on, and nothing it says is done. Bring the database back, or start an "
                "agent with another --folder for this one"
            )
        if queue and not self._queue:
            self._queue = queue
            self._write()

    def job_path(self, uid: int) -> Path:
        """Return the folder of one job."""
        return self.path / "jobs" / str(uid)

    def read(self) -> list[HeldLease]:
        """Return the leases that are there; one that a loss of power has torn is left out, and comes again."""
        raws = (read_json(path) for path in sorted(self._leases.glob("[0-9]*.json")))
        return [from_json(HeldLease, raw, "lease", lenient=True) for raw in raws if raw is not None]

    def keep(self, lease: HeldLease) -> None:
        """Write a lease down, in place of what was known of it."""
        if lease.grant.uid > self.highest_uid:
            self.highest_uid = lease.grant.uid
            self._write(durable=False)
        replace_json(self._lease_path(lease.grant), to_json(lease))

    def forget(self, grant: Grant) -> None:
        """Remove a lease."""
        self._lease_path(grant).unlink(missing_ok=True)

    def _lease_path(self, grant: Grant) -> Path:
        return self._leases / f"{grant.uid}-{grant.attempt}.json"

    def _write(self, *, durable: bool = True) -> None:
        known = {
            "agent": self.agent,
            "queue": self._queue,
            "starts": self._starts,
            "highest_uid": self.highest_uid,
        }
        replace_json(self.path / "agent.json", known, durable=durable)
