"""The queue from outside: one method for each thing that the controller's API does. Standard library only.

    client = Client(find_controller())
    [job] = client.submit([{"kind": "command", "payload": {"command": ["python", "train.py"]}}])
    client.wait(job["id"])

Light on purpose: `ostinato ls` and `why` import this and little else. Blocking; one connection, kept open; not for
several threads at once. Errors are those of batch/errors.py, as the controller raised them.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast
from urllib.parse import quote, urlencode, urlsplit

from batch.error_replies import error_from
from batch.errors import BadRequestError, ControllerError, ControllerUnreachable, NotFoundError
from batch.http_connection import Answer, HttpConnection
from batch.state_folder import Address, find_controller

JobJson = dict[str, Any]

_TIMEOUT_S = 30.0
_STREAM_TIMEOUT_S = 60.0
"""Longer than the controller's 15 s between signs of life."""
_FIRST_POLL_S, _LAST_POLL_S = 0.05, 2.0
_TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


class Client:
    """Speaks to one controller. Raises ControllerUnreachable when nobody answers there."""

    def __init__(self, address: Address | None = None, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.address = address or find_controller()
        self._connection = self._new_connection(timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.close()

    # Jobs and sweeps

    def submit(self, jobs: Sequence[Mapping[str, Any]], *, key: str | None = None) -> list[JobJson]:
        """Submit jobs, all or none; return their `uid` and `id`. They are on disk when this returns.

        A call that is repeated with the same `key` makes nothing new; without one, a key is drawn for this call, so
        that an acknowledgement lost on the way cannot make the jobs twice.
        """
        headers = {"Idempotency-Key": key or os.urandom(16).hex()}
        return cast("list[JobJson]", self._call("POST", "/v1/jobs", list(jobs), headers=headers)["jobs"])

    def submit_sweep(self, sweep: Mapping[str, Any]) -> JobJson:
        """Submit a sweep and return it. One of equal content that exists already is returned as it is."""
        return cast("JobJson", self._call("POST", "/v1/sweeps", sweep))

    def find(self, **filters: Any) -> JobJson:
        """Return `jobs` and `sweeps`, newest first. Filters: state, team, user, name, tier, sweep, members, limit.

        A sweep stands for its members, unless `sweep` or `members=True` asks for them.
        """
        return cast("JobJson", self._call("GET", "/v1/jobs", query=filters))

    def job(self, job: str) -> JobJson:
        """Return one job: specification, state, attempts. `job` is an id, the beginning of one, or a name."""
        return cast("JobJson", self._call("GET", _job(job)))

    def sweep(self, sweep: str) -> JobJson:
        """Return one sweep with the number of its members in each state."""
        return cast("JobJson", self._call("GET", f"/v1/sweeps/{quote(sweep, safe='')}"))

    def why(self, job: str) -> JobJson:
        """Return why a job waits, in numbers; for one that does not wait, where it stands."""
        return cast("JobJson", self._call("GET", _job(job, "why")))

    def job_events(self, job: str) -> list[JobJson]:
        """Return what has happened to a job, oldest first."""
        return cast("list[JobJson]", self._call("GET", _job(job, "events"))["events"])

    def act(self, job: str, verb: str, **arguments: Any) -> JobJson:
        """Do `cancel` (now=True: without a save), `hold`, `release`, `requeue` or `set` to a job; return it after."""
        return cast("JobJson", self._call("POST", _job(job, verb), arguments))

    def wait(self, job: str, *, timeout_s: float | None = None) -> JobJson:
        """Return the job, or the sweep, once it is over, or as it is when `timeout_s` has passed."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _FIRST_POLL_S
        while not is_over(found := self._job_or_sweep(job)):
            if deadline_s is not None and time.monotonic() >= deadline_s:
                break
            time.sleep(pause_s)
            pause_s = min(_LAST_POLL_S, pause_s * 1.5)
        return found

    def _job_or_sweep(self, name: str) -> JobJson:
        try:
            return self.job(name)
        except NotFoundError as error:
            with contextlib.suppress(NotFoundError):
                return self.sweep(name)
            raise error from None

    def log(self, job: str, *, rank: int = 0, offset: int = 0, attempt: int | None = None) -> JobJson:
        """Return `text`, `next_offset`, `size_bytes` and `is_over` of one rank's log from byte `offset` on.

        A negative offset counts from the end. `size_bytes` is None when the rank has no log yet.
        """
        query = {"rank": rank, "offset": offset, "attempt": attempt}
        return cast("JobJson", self._call("GET", _job(job, "logs"), query=query))

    # Who shares, and where

    def teams(self) -> list[JobJson]:
        """Return the teams with weight and quota."""
        return cast("list[JobJson]", self._call("GET", "/v1/teams")["teams"])

    def set_team(self, name: str, **changes: Any) -> JobJson:
        """Make or change a team: weight, quota, max_queued. What is not given stays as it is."""
        return cast("JobJson", self._call("PUT", f"/v1/teams/{quote(name, safe='')}", changes))

    def pools(self) -> list[JobJson]:
        """Return the pools with their nodes and what is in use."""
        return cast("list[JobJson]", self._call("GET", "/v1/pools")["pools"])

    def drain(self, pool: str, *, drained: bool = True) -> JobJson:
        """Let nothing new start in a pool, or, with `drained=False`, let it again."""
        return cast("JobJson", self._call("POST", f"/v1/pools/{quote(pool, safe='')}/drain", {"drained": drained}))

    def fair_share(self) -> list[JobJson]:
        """Return each team's share of what is in use, and what it is entitled to."""
        return cast("list[JobJson]", self._call("GET", "/v1/fairshare")["teams"])

    # Journal

    def events(self, *, after: int = 0, limit: int = 1000) -> list[JobJson]:
        """Return events of the journal with `seq` greater than `after`, oldest first."""
        return cast("list[JobJson]", self._call("GET", "/v1/events", query={"after": after, "limit": limit})["events"])

    def follow_events(self, *, after: int | None = None) -> Iterator[JobJson]:
        """Yield events as they are committed, from now on or after a sequence number. Never ends by itself."""
        path = "/v1/events?" + urlencode({"stream": "true", **({} if after is None else {"after": after})})
        connection = self._new_connection(_STREAM_TIMEOUT_S)
        with contextlib.closing(connection), self._reached():
            self._check_identity(connection)
            status, lines = connection.lines(path, self._headers({"Accept": "text/event-stream"}))
            if status >= 400:
                _raise(status, b"\n".join(lines))
            for line in lines:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])
        raise ControllerUnreachable(f"the controller at {self.address.url} closed the stream: it stopped, or restarts")

    # Operating

    def tokens(self) -> list[JobJson]:
        """Return the tokens without their secrets: name, role, team, expiry."""
        return cast("list[JobJson]", self._call("GET", "/v1/tokens")["tokens"])

    def create_token(self, **token: Any) -> JobJson:
        """Make a token (name, role, team, expires_s) and return it; its `token` is shown this once."""
        return cast("JobJson", self._call("POST", "/v1/tokens", token))

    def revoke_token(self, name: str) -> JobJson:
        """End a token."""
        return cast("JobJson", self._call("DELETE", f"/v1/tokens/{quote(name, safe='')}"))

    def health(self) -> JobJson:
        """Return what the controller says about itself; needs no token."""
        return cast("JobJson", self._call("GET", "/v1/health"))

    def has_code(self, code: str) -> bool:
        """Return whether the controller has the working folder of that content address."""
        return bool(self._call("GET", f"/v1/code/{quote(code, safe='')}/exists")["exists"])

    def put_code(self, code: str, archive: bytes) -> None:
        """Upload a packed working folder under its content address; one that is there already is kept."""
        self._call("PUT", f"/v1/code/{quote(code, safe='')}", archive)

    def sync(self, pool: str, request: Mapping[str, Any]) -> JobJson:
        """Tell the controller what the agent of `pool` has; return what it should do. Held for its `wait_s`."""
        return cast("JobJson", self._call("POST", f"/v1/pools/{quote(pool, safe='')}/sync", request))

    # The wire

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        wanted = {key: value for key, value in (query or {}).items() if value is not None}
        if wanted:
            path += "?" + urlencode(wanted, doseq=True)
        answer = self._exchange(method, path, body, headers or {})
        if answer.status >= 400:
            _raise(answer.status, answer.body)
        kind = answer.headers.get("content-type", "nothing")
        if "json" not in kind:
            raise ControllerError(f"{self.address.url} answers with {kind}: no controller of ours")
        return json.loads(answer.body)

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = self._headers(headers)
        was_open = self._connection.is_open
        with self._reached():
            try:
                self._check_identity(self._connection)
                return self._connection.request(method, path, data, sent)
            except OSError:
                self.close()
                # A connection that was kept open may have been closed by a controller that has restarted since. What
                # is said twice must mean the same.
                if not was_open or (method == "POST" and "Idempotency-Key" not in sent):
                    raise
            self._check_identity(self._connection)
            return self._connection.request(method, path, data, sent)

    def _check_identity(self, connection: HttpConnection) -> None:
        """Raise ControllerUnreachable when whoever answers a new connection is not the controller that is meant."""
        token = self.address.known_token
        if token is None or connection.is_open:
            return
        from batch import token_proof  # noqa: PLC0415 - not for those who have configured an address

        challenge = os.urandom(16).hex()
        answer = connection.request("GET", token_proof.question(token, challenge), None, {})
        said = json.loads(answer.body) if answer.status == 200 else {}
        if not token_proof.is_answer(token, challenge, connection.port, said.get("proof")):
            connection.close()
            raise ControllerUnreachable(
                f"{self.address.url} is answered by another program or another user's controller, and was sent no "
                "token: `ostinato up` starts yours"
            )

    def _new_connection(self, timeout_s: float) -> HttpConnection:
        wrong = f"the controller's address {self.address.url!r} is no URL: write http://HOST:PORT"
        try:
            parts = urlsplit(self.address.url)
            port = parts.port
        except ValueError as error:
            raise BadRequestError(f"{wrong} ({error})") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadRequestError(wrong)
        tls = parts.scheme == "https"
        return HttpConnection(parts.hostname, port or (443 if tls else 80), tls=tls, timeout_s=timeout_s)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"Content-Type": "application/json", **more}
        if self.address.token:
            headers["Authorization"] = f"Bearer {self.address.token}"
        return headers

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self.close()
            raise ControllerUnreachable(
                f"no controller answers at {self.address.url} ({str(error) or type(error).__name__}): "
                "`ostinato up` starts one here, `ostinato status` shows what is known of it"
            ) from error


def is_over(found: JobJson) -> bool:
    """Return whether a job, or each member of a sweep, has ended for good."""
    return set(found.get("counts") or [found.get("state")]) <= _TERMINAL


def _job(job: str, what: str = "") -> str:
    if not job.strip():
        raise BadRequestError("a job without a name: give its id, the beginning of it, its name, or SWEEP.INDEX")
    path = f"/v1/jobs/{quote(job, safe='')}"
    return f"{path}/{what}" if what else path


def _raise(status: int, body: bytes) -> NoReturn:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    raise error_from(status, said)
