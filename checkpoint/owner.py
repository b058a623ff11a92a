"""Whose checkpoints lie in a store: the configuration that they were made with, so that nobody takes up another's."""

import json
from collections.abc import Mapping
from typing import Any

from checkpoint import layout
from checkpoint.errors import FormatError, ObjectMissing
from checkpoint.store import Store


def read_owner(store: Store) -> dict[str, Any] | None:
    """Return what `write_owner` wrote last, or None. Blocking; raises FormatError when it is damaged, StoreError."""
    try:
        data = store.get(layout.OWNER)
    except ObjectMissing:
        return None
    try:
        owner = json.loads(data)
    except ValueError as error:
        raise FormatError(f"{store.url}/{layout.OWNER}: is no JSON ({error}); remove it") from error
    if not isinstance(owner, dict):
        raise FormatError(f"{store.url}/{layout.OWNER}: is no JSON object; remove it")
    return owner


def write_owner(store: Store, owner: Mapping[str, Any]) -> None:
    """Keep `owner`, JSON without credentials, beside the checkpoints; durable on return. Raises StoreError."""
    store.put(layout.OWNER, json.dumps(owner, ensure_ascii=False, indent=1).encode())
