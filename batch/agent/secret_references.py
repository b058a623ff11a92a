"""Secrets by reference: a job names where one is (`env:NAME` or `file:/path`), and only its pool knows the value."""

import os
from collections.abc import Mapping
from pathlib import Path

from batch.credentials import REFERENCES, is_credential
from batch.errors import LaunchError


def resolved(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with values in place of the references under names of credentials. Raises as `resolve`."""
    references = {
        name: value for name, value in environment.items() if is_credential(name) and value.startswith(REFERENCES)
    }
    return {**environment, **resolve(references)}


def resolve(references: Mapping[str, str]) -> dict[str, str]:
    """Return the values of `references`, read on the agent's machine. Raises LaunchError, which never has a value."""
    return {name: _value(name, reference) for name, reference in references.items()}


def _value(name: str, reference: str) -> str:
    kind, _, place = reference.partition(":")
    if kind == "env" and place in os.environ:
        return os.environ[place]
    if kind == "file":
        try:
            return Path(place).expanduser().read_text().strip()
        except OSError as error:
            raise LaunchError(f"secret {name}: {place} on the agent's machine: {error.strerror}") from error
    if kind == "env":
        raise LaunchError(f"secret {name}: {place} is not set where the agent runs; set it there, or use file:/path")
    raise LaunchError(f"secret {name}: must name its place as env:NAME or file:/path")
