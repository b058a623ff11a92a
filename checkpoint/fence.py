"""Fences: numbers that attempts claim, each greater than all before; only the newest may commit.

A fence stands for one unbroken line of steps: claim a new one whenever workers are started, replaced or set
back, so that what two incarnations saved for the same step is never mixed into one checkpoint.
"""

import json
import os
import socket
import uuid

from checkpoint import layout
from checkpoint.errors import FencedError, StoreError
from checkpoint.store import Store

_MAX_TRIES = 1000


def claim_fence(store: Store) -> int:
    """Claim and return a new fence, greater than every fence claimed before in this store.

    Blocking: one list and one conditional put, more under a race. Called once by whoever starts the workers.
    From then on holders of older fences fail to commit with FencedError. Raises StoreError.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "nonce": uuid.uuid4().hex}
    data = json.dumps(owner).encode()
    fence = newest_fence(store) + 1
    for candidate in range(fence, fence + _MAX_TRIES):
        if store.put_if_absent(layout.fence_key(candidate), data):
            return candidate
    raise StoreError(f"{store.url}: no fence free between {fence} and {fence + _MAX_TRIES}: is there a loop?")


def newest_fence(store: Store) -> int:
    """Return the newest claimed fence, 0 when there is none."""
    numbers = (layout.parse_fence_key(found.key) for found in store.list(layout.FENCES))
    return max((number for number in numbers if number is not None), default=0)


def check_fence(store: Store, fence: int) -> None:
    """Raise FencedError when a newer fence than `fence` has been claimed."""
    newest = newest_fence(store)
    if newest > fence:
        raise FencedError(
            f"{store.url}: fence {newest} has been claimed, ours is {fence}: another attempt owns the run"
        )
