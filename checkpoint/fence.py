"""Fences: numbers that attempts claim, each greater than all before; only the newest may commit.

A fence stands for one unbroken line of steps: claim a new one whenever workers are started, replaced or set
back, so that what two incarnations saved for the same step is never mixed into one checkpoint.

A queue that places a job again numbers its placements (leases). A claim that says for which job and lease it is made is
refused once a later lease of the same job has claimed: an attempt that was given up, and wakes up late, can neither
commit nor make itself the newest. Every claim carries on what the one before it knew of leases.
"""

import json
import os
import socket
import uuid

from checkpoint import layout
from checkpoint.errors import FencedError, ObjectMissing, StoreError
from checkpoint.store import Store

_MAX_TRIES = 1000


def claim_fence(store: Store, *, job: str = "", lease: int = 0) -> int:
    """Claim and return a new fence, greater than every fence claimed before in this store.

    `job` and its `lease` are those of a queue; without a job the claim is a person's, and always granted. Blocking: one
    list, one get and one conditional put, more under a race. Called once by whoever starts the workers. From then on
    holders of older fences fail to commit with FencedError. Raises FencedError when a later lease of the job has
    claimed, and StoreError.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "nonce": uuid.uuid4().hex}
    newest = newest_fence(store)
    leases = _leases(store, newest)
    for candidate in range(newest + 1, newest + 1 + _MAX_TRIES):
        if job:
            _refuse_older(store, job, lease, leases)
            leases = {**leases, job: lease}
        data = json.dumps({**owner, "leases": leases}).encode()
        if store.put_if_absent(layout.fence_key(candidate), data):
            return candidate
        leases = _leases(store, candidate)
    raise StoreError(f"{store.url}: no fence free between {newest} and {newest + _MAX_TRIES}: is there a loop?")


def _leases(store: Store, fence: int) -> dict[str, int]:
    """Return the newest lease of each job that the claim `fence` knew of."""
    if fence == 0:
        return {}
    try:
        leases = json.loads(store.get(layout.fence_key(fence))).get("leases", {})
    except ObjectMissing:  # swept: newer ones carry its knowledge on
        return {}
    return {str(job): int(lease) for job, lease in leases.items()}


def _refuse_older(store: Store, job: str, lease: int, leases: dict[str, int]) -> None:
    newest = leases.get(job, lease)
    if newest > lease:
        raise FencedError(
            f"{store.url}: job {job} was placed again (lease {newest}), ours is {lease}: a later attempt owns the run"
        )


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
