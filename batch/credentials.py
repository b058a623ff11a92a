"""Credentials never enter the queue: a job says where one is, `env:NAME` or `file:/path`, and its agent looks there.

A journal that is kept for years and answers whoever may read it is no place for a password. What looks like one is
refused before anything is written, with an error that does not repeat it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from batch.errors import BadRequestError

REFERENCES = ("env:", "file:")
MASK = "********"
_WORDS = (
    "secret|token|password|passwd|passphrase|credentials?|(?:private|access|api|account|auth|secret|encryption)[_-]?key"
    "|authorization"
)
_CREDENTIAL = re.compile(rf"(?:^|[_.\-])(?:{_WORDS})(?:$|[_.\-])", re.IGNORECASE)
_REMEMBERED = 64
"""The longest names, in characters, that are looked at once only: jobs resemble one another."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_credential(name: str) -> bool:
    """Return whether a key or variable is named like a credential: HF_TOKEN and apiKey are, `tokenizer` is not."""
    return _is_credential(name) if len(name) <= _REMEMBERED else _is_credential.__wrapped__(name)


@lru_cache(maxsize=4096)
def _is_credential(name: str) -> bool:
    return _CREDENTIAL.search(_HUMP.sub("_", name)) is not None


def refuse_credentials(value: Any, where: str = "payload") -> None:
    """Check that no text below `value` stands under the name of a credential, other than by reference.

    Raises BadRequestError that names the place and never the value.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if is_credential(str(key)) and _is_open(inner):
                raise _refusal(f"{where}.{key}", str(key))
            refuse_credentials(inner, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        _refuse_in_words(value, where)


def _refuse_in_words(words: Sequence[Any], where: str) -> None:
    for at, word in enumerate(words):
        if isinstance(word, str):
            name, equals, text = word.partition("=")
            if equals and _is_open(text) and is_credential(name.lstrip("-+")):
                raise _refusal(f"{where}[{at}]", name.lstrip("-+"))
        else:
            refuse_credentials(word, f"{where}[{at}]")


def redacted(value: Any) -> Any:
    """Return a copy of `value` in which each text under the name of a credential is masked; references stay."""
    if isinstance(value, Mapping):
        return {
            key: MASK if is_credential(str(key)) and _is_open(inner) else redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(inner) for inner in value]
    return value


def _is_open(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value != MASK and not value.startswith(REFERENCES)


def _refusal(where: str, name: str) -> BadRequestError:
    short = name.rpartition(".")[2]
    return BadRequestError(
        f"{where} looks like a credential, and the queue keeps none: submit with `--secret {short}=env:{short}` (or "
        f"file:/path), which the agent looks up where the job runs"
    )
