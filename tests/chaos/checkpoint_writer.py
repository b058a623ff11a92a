"""A process that saves checkpoints until it is killed, and prints each step once it is durable.

Usage: python checkpoint_writer.py URL
"""

import sys

import numpy as np
from fixtures_checkpoint import Tensors, make_states, make_tensors, save

from checkpoint.commits import load_commit, usable_commits
from checkpoint.fence import claim_fence
from checkpoint.state import MASTER
from checkpoint.stores import open_store

LARGE = 6 * 2**20
SEGMENT_BYTES = 20 * 2**20


def tensors_of(step: int) -> Tensors:
    """Return the small model, and one tensor that takes time to write."""
    return make_tensors(step) | {("large", MASTER): np.full(LARGE, step, dtype=np.float32)}


def main(url: str) -> None:
    """Continue after the newest checkpoint, for ever."""
    store = open_store(url)
    fence = claim_fence(store)
    step = max((info.step for info in usable_commits(store)), default=0)
    print("ready", flush=True)  # noqa: T201 - this is how the test hears of it
    while True:
        newest = usable_commits(store)[:1]
        parent = load_commit(store, newest[0]) if newest else None
        step += 1
        states = make_states(step, 2, fence=fence, tensors=tensors_of(step))
        save(store, states, parent=parent, segment_bytes=SEGMENT_BYTES)
        print(step, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
