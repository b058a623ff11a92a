"""What an agent and the controller say to each other: one call, `POST /v1/pools/{pool}/sync`.

Both messages say how things are, not what changed, so that either may be lost, repeated or late and nothing else is
needed after a restart of either side:

- The agent sends every attempt that it has (`SyncRequest.attempts`), also those that an earlier process of it started.
- The controller answers what the difference to the queue asks for: `start` what is placed here and not among them,
  `stop` what should not run (any more), `limit` what has another time limit now, `forget` what has ended and is durably
  recorded. An attempt that is named nowhere goes on: silence never stops work.

An attempt is (uid, attempt); its `fence` travels along, and the controller acts on no status with another fence than
its own: it answers such an attempt with `stop`, and with `forget` once it has ended.

The controller answers at once when there is something to say, or when `SyncRequest.wait_s` is 0, and otherwise holds
the request for at most that long. An agent may have two requests in flight, one that waits and one with news.
`sequence` grows with each request of an agent, over its restarts too: the controller ignores the attempts of a request
that is older than one it has seen. `revision` is the journal's sequence number that the answer was computed at: the
agent ignores an answer that is older than one it has obeyed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batch.json_values import from_json, to_json
from batch.launcher import Ended, Progress
from batch.model import Node

MAX_WAIT_S = 20.0
"""The longest that a request is held."""
MAX_LOG_CHUNK_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A lease as the controller gives it; the agent adds where it lies and becomes a launcher.Lease.

    `nodes` has one name per bundle, `gpus` and `cpus` count per node, `code` is the content address of the working
    folder (`GET /v1/code/{code}`).
    """

    uid: int
    id: str
    attempt: int
    fence: int
    kind: str
    payload: Mapping[str, Any]
    nodes: tuple[str, ...]
    gpus: int = 0
    cpus: int = 1
    grace_s: float = 30.0
    time_limit_s: float | None = None
    code: str | None = None
    born_s: float = 0.0
    """When the job was submitted: a database that was restored from an older copy gives its uid to another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStatus:
    """One attempt that the agent has: it runs while `ended` is None.

    `started_s` (epoch seconds, the agent's clock) is None as long as it waits for its turn to start. `stop` is what it
    has been asked: None, `save` or `now`, so that a stop needs not be said again; `time_limit_s` is what holds
    for it. `log_bytes` has the size of the log of each rank.
    """

    uid: int
    attempt: int
    fence: int
    started_s: float | None = None
    stop: str | None = None
    time_limit_s: float | None = None
    ended: Ended | None = None
    progress: Progress = field(default_factory=Progress)
    log_bytes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """Somebody wants a piece of a log, also of an attempt that is over. `key` is drawn by the controller."""

    key: str
    uid: int
    attempt: int
    rank: int
    offset: int
    limit_bytes: int = MAX_LOG_CHUNK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """The answer to the request `key`. `size_bytes` is the size of the log now, None when there is no such log."""

    key: str
    offset: int
    data: bytes = b""
    size_bytes: int | None = None
    is_over: bool = False
    """Whether the attempt is over, so that nothing will be added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What an agent has. `agent` is drawn once for its folder and outlives its process.

    A pool has one agent. Another is refused (PoolTakenError) until that one has been silent for half a minute, or asks
    with `take_over` to have its place.

    `highest_uid` is that of all jobs it has ever had: a controller whose database was restored from an older copy gives
    none up to there to another job.

    `queue` is whose jobs these are, as `SyncAnswer.queue` has said; empty before any has. A controller of another queue
    refuses the request: it would take these attempts for those of its own jobs.
    """

    agent: str
    sequence: int
    wait_s: float
    nodes: tuple[Node, ...]
    attempts: tuple[AttemptStatus, ...] = ()
    log_chunks: tuple[LogChunk, ...] = ()
    highest_uid: int = 0
    take_over: bool = False
    trouble: str = ""
    """What is wrong where the agent is, in words: its disk is full."""
    queue: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the body of the call."""
        return to_json(self)

    @classmethod
    def from_json(cls, raw: Any) -> "SyncRequest":
        """Return the request that `raw`, parsed JSON, says. Raises BadRequestError."""
        return from_json(cls, raw, "sync", lenient=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End this attempt: after it has saved (SIGTERM and its grace), or `now`. Said until its status says so too."""

    uid: int
    attempt: int
    now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """This attempt may run for so long since its start, not for as long as it was said before."""

    uid: int
    attempt: int
    time_limit_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """The end of this attempt is durable, or of no interest: the agent needs not tell it again.

    `is_over`: so is the job, and no attempt will follow unless a person asks for one: its folder may go once it is old.
    """

    uid: int
    attempt: int
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAnswer:
    """What the agent should do. See the module's text.

    `queue` is drawn once for the controller's database. An agent's folder belongs to one queue, and the agent obeys no
    other: ids of two queues mean different jobs. Empty: not told. `instance` is drawn by each process of the
    controller: revisions of two are not compared, for the database may have been restored in between.
    """

    revision: int
    instance: str = ""
    queue: str = ""
    start: tuple[Grant, ...] = ()
    stop: tuple[Stop, ...] = ()
    limit: tuple[Limit, ...] = ()
    forget: tuple[Forget, ...] = ()
    log_requests: tuple[LogRequest, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return to_json(self)

    @classmethod
    def from_json(cls, raw: Any) -> "SyncAnswer":
        """Return the answer that `raw`, parsed JSON, says. Raises BadRequestError."""
        return from_json(cls, raw, "sync answer", lenient=True)
