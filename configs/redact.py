"""Credentials are never shown: keys that look like one are masked wherever a configuration leaves the process."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "********"
_CREDENTIAL = re.compile(
    r"secret|token|password|passwd|credential|private_?key|access_?key|api_?key|account_?key", re.IGNORECASE
)


def is_credential(key: str) -> bool:
    """Return whether a key, or the last key of a dotted path, names a credential, by its usual words."""
    return _CREDENTIAL.search(key.rpartition(".")[2]) is not None


def redacted(value: Any) -> Any:
    """Return a copy of a document in which the value of each key that names a credential is masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if is_credential(str(key)) and item is not None else redacted(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def redacted_command(words: Sequence[str]) -> list[str]:
    """Return a command line in which the values of overrides that name a credential are masked."""
    return [
        f"{word.partition('=')[0]}={MASK}" if "=" in word and is_credential(word.partition("=")[0]) else word
        for word in words
    ]
