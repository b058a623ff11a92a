"""Credentials are never shown: what looks like one is masked wherever a configuration leaves the process."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from batch import credentials
from batch.credentials import MASK, masked_text

__all__ = ["MASK", "is_credential", "redacted", "redacted_command"]

_CREDENTIAL = re.compile(
    r"secret|token|password|passwd|credential|private_?key|access_?key|api_?key|account_?key", re.IGNORECASE
)


def is_credential(key: str) -> bool:
    """Return whether a key, or the last key of a dotted path, names a credential, by its usual words.

    Masks all that the queue refuses (batch/credentials.py), and more: a configuration has no other words of that kind.
    """
    last = key.rpartition(".")[2]
    return _CREDENTIAL.search(last) is not None or credentials.is_credential(last)


def redacted(value: Any) -> Any:
    """Return a copy of a document in which the value of each key that names a credential is masked.

    So are passwords in URLs, and tokens of well-known forms, under any key.
    """
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if is_credential(str(key)) and item is not None else redacted(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def redacted_command(words: Sequence[str]) -> list[str]:
    """Return a command line in which credentials are masked: `KEY=X`, `--key=X`, `--key X`, and by their form."""
    shown: list[str] = credentials.redacted(list(words))
    return [
        f"{word.partition('=')[0]}={MASK}" if "=" in word and is_credential(word.partition("=")[0]) else word
        for word in shown
    ]
