"""Tokens: drawn at random, kept as SHA-256, looked up in memory. A random token of 256 bits needs no slow hash."""

import secrets
import time
from collections.abc import Callable

from batch import token_proof
from batch.controller.roles import Principal, Role
from batch.errors import BadRequestError, ConflictError, NotAllowedError, NotFoundError
from batch.job_queue import Queue
from batch.records import Token

PREFIX = "ost_"
"""So that scanners for leaked credentials can know one."""


class Tokens:
    """The tokens of one queue. Methods that write block until it is durable."""

    def __init__(self, queue: Queue, clock: Callable[[], float] = time.time) -> None:
        self._queue = queue
        self._clock = clock
        self._known = {token.digest: token for token in queue.tokens()}

    def __len__(self) -> int:
        """Return how many there are, expired ones included."""
        return len(self._known)

    def identify(self, header: str | None) -> Principal:
        """Return who sends `header` (`Bearer TOKEN`). Raises NotAllowedError: missing, unknown or expired."""
        scheme, _, secret = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise NotAllowedError(
                "no token: send `Authorization: Bearer TOKEN`; commands read $OSTINATO_TOKEN, or the file that "
                "`ostinato up` wrote"
            )
        token = self._known.get(token_proof.digest_of(secret.strip()))
        if token is None:
            raise NotAllowedError("the token is not known here: it was revoked, or is for another controller")
        if token.expires_s is not None and token.expires_s <= self._clock():
            raise NotAllowedError(f"token {token.name!r} has expired: ask an operator for another one")
        return Principal(token.name, Role(token.role), token.team)

    def create(self, name: str, role: Role, team: str | None = None, expires_s: float | None = None) -> str:
        """Return a new token, which is nowhere else from now on. Raises ConflictError for a name that is taken."""
        if not name.strip() or len(name) > 80:
            raise BadRequestError(f"token name {name[:80]!r}: must have 1 to 80 characters")
        if role is Role.TEAM_ADMIN and team is None:
            raise BadRequestError("a token of role team_admin needs a team")
        if team is not None and team not in self._queue.teams():
            raise NotFoundError(f"there is no team {team!r}: `ostinato team set {team}` makes it")
        if any(token.name == name for token in self._known.values()):
            raise ConflictError(f"there is a token {name!r} already: revoke it first, or choose another name")
        secret = PREFIX + secrets.token_urlsafe(32)
        self._keep(secret, name, role, team, expires_s)
        return secret

    def keep(self, secret: str, name: str, role: Role) -> None:
        """Know a token that lies in a file of this machine; a no-op when it is known."""
        if token_proof.digest_of(secret) not in self._known:
            self._keep(secret, name, role, None, None)

    def prove(self, name: str, challenge: str, port: int) -> str | None:
        """Return the proof that a token is known (token_proof.py); None when none of that name is."""
        known = next((digest for digest in self._known if token_proof.name_of(digest) == name), None)
        return None if known is None else token_proof.prove(known, challenge, port)

    def revoke(self, name: str) -> None:
        """End the tokens called `name`. Raises NotFoundError."""
        found = [token for token in self._known.values() if token.name == name]
        if not found:
            raise NotFoundError(f"there is no token {name!r}: `ostinato token ls` lists them")
        for token in found:
            self._queue.remove_token(token.digest)
            del self._known[token.digest]

    def all(self) -> list[Token]:
        """Return the tokens, oldest first, without their secrets, which nobody has."""
        return sorted(self._known.values(), key=lambda token: token.created_s)

    def _keep(self, secret: str, name: str, role: Role, team: str | None, expires_s: float | None) -> None:
        token = Token(
            digest=token_proof.digest_of(secret),
            name=name,
            role=role.value,
            team=team,
            created_s=self._clock(),
            expires_s=expires_s,
        )
        self._queue.add_token(token)
        self._known[token.digest] = token
