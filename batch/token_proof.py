"""A controller shows that it knows a token before it is sent one: an address may be somebody else's by now.

Whoever is about to send a token to an address that it found in a file asks there, without it, for

    HMAC-SHA256(key = SHA-256(token), challenge and port)

(RFC 2104). The controller keeps that key and never the token. The port is the one at which each side believes to be,
so that a program that passes the question on to the right controller gets an answer that is good for nothing.
"""

import hmac
from hashlib import sha256


def digest_of(token: str) -> str:
    """Return what a controller keeps of a token."""
    return sha256(token.encode()).hexdigest()


def name_of(digest: str) -> str:
    """Return what tells which token is meant, and nothing else about it."""
    return sha256(digest.encode()).hexdigest()[:16]


def prove(digest: str, challenge: str, port: int) -> str:
    """Return the answer to `challenge` of whoever serves at `port` and knows the digest."""
    return hmac.new(bytes.fromhex(digest), f"{challenge} {port}".encode(), sha256).hexdigest()


def question(token: str, challenge: str) -> str:
    """Return path and query with which a controller is asked."""
    return f"/v1/health?token={name_of(digest_of(token))}&challenge={challenge}"


def is_answer(token: str, challenge: str, port: int, proof: object) -> bool:
    """Return whether `proof` is the answer."""
    return isinstance(proof, str) and hmac.compare_digest(proof, prove(digest_of(token), challenge, port))
