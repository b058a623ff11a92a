"""Tokens as the writer keeps them. Only their digests are in the database, and nothing of them is in the journal."""

import dataclasses

from sqlalchemy import delete, insert, select

from batch.errors import ConflictError, NotFoundError
from batch.ledger import Ledger
from batch.records import Token
from batch.tables import TOKENS


def add_token(ledger: Ledger, token: Token) -> None:
    """Keep a token. Raises ConflictError when its digest is known."""
    known = select(TOKENS.c.name).where(TOKENS.c.digest == token.digest)
    if (name := ledger.connection.execute(known).scalar()) is not None:
        raise ConflictError(f"token {token.name!r}: the token {name!r} has the same secret: draw another")
    ledger.connection.execute(insert(TOKENS).values(dataclasses.asdict(token)))


def remove_token(ledger: Ledger, digest: str) -> None:
    """Forget a token. Raises NotFoundError."""
    if not ledger.connection.execute(delete(TOKENS).where(TOKENS.c.digest == digest)).rowcount:
        raise NotFoundError(f"no token has the digest {digest[:12]}…: see the list of tokens")
