"""A small model's state, cut for any number of ranks, and what is needed to save and compare it."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from checkpoint.commits import CommitView, list_commits, load_commit
from checkpoint.dtypes import dtype_name
from checkpoint.manifest import Entry
from checkpoint.persist import CommitOutcome, RankState, commit_when_complete, write_rank
from checkpoint.state import BUFFER, FROZEN, MASTER
from checkpoint.store import Store
from checkpoint.store_local import LocalStore

Tensors = dict[tuple[str, str], npt.NDArray[np.generic]]
"""Whole tensors by (name, kind)."""

TRAINED = {"embed.weight": (37, 11), "block.bias": (5,), "block.weight": (16, 9), "scale": ()}
SEGMENT_BYTES = 1024
"""Small, so that even this model needs several segments and chunks."""


def make_tensors(step: int, *, frozen_seed: int = 7) -> Tensors:
    """Return the state after `step` steps: masters and moments differ by step, frozen weights do not."""
    random, frozen = np.random.default_rng(step), np.random.default_rng(frozen_seed)
    tensors: Tensors = {
        (name, kind): random.standard_normal(shape).astype(np.float32)
        for name, shape in TRAINED.items()
        for kind in (MASTER, "exp_avg", "exp_avg_sq")
    }
    tensors["base.weight", FROZEN] = frozen.standard_normal((23, 29)).astype(np.float16)
    tensors["position", BUFFER] = np.arange(31, dtype=np.int64)
    tensors["nothing", BUFFER] = np.zeros((0, 4), dtype=np.float32)
    return tensors


def make_states(
    step: int, world_size: int, *, fence: int = 1, tensors: Tensors | None = None
) -> list[RankState]:
    """Return every rank's state: each tensor is cut into contiguous parts whose sizes differ."""
    tensors = make_tensors(step) if tensors is None else tensors
    entries: list[list[Entry]] = [[] for _ in range(world_size)]
    buffers: list[list[memoryview]] = [[] for _ in range(world_size)]
    for number, ((name, kind), array) in enumerate(tensors.items()):
        for rank, (start, stop) in enumerate(cuts(array.size, world_size, shift=number)):
            if stop > start or (array.size == 0 and rank == 0):
                entries[rank].append(Entry(name, kind, dtype_name(array.dtype), array.shape, start, stop))
                buffers[rank].append(memoryview(array.reshape(-1)[start:stop].view(np.uint8)))
    return [
        RankState(
            step=step,
            rank=rank,
            world_size=world_size,
            fence=fence,
            entries=tuple(entries[rank]),
            buffers=buffers[rank],
            scalars={"optimizer_step": step, "lr": 0.1 + 0.2, "groups": [{"betas": [0.9, 0.98]}]},
            extra={"step": step},
        )
        for rank in range(world_size)
    ]


def cuts(num_elements: int, parts: int, shift: int = 0) -> list[tuple[int, int]]:
    """Return `parts` intervals that tile `[0, num_elements)`, of unequal size; `shift` varies it."""
    weights = [1 + (index + shift) % 3 for index in range(parts)]
    ends = [math.floor(num_elements * total / sum(weights)) for total in itertools.accumulate(weights)]
    return list(itertools.pairwise([0, *ends]))


def save(
    store: Store,
    states: Sequence[RankState],
    *,
    parent: CommitView | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> CommitOutcome:
    """Write all ranks and commit, as the keepers of a healthy run do."""
    for state in states:
        write_rank(store, state, segment_bytes=segment_bytes, parent=parent)
    outcome = commit_when_complete(store, states[0].step, states[0].fence, states[0].world_size)
    assert outcome is not None
    return outcome


def damage(folder: Path, step: int) -> None:
    """Flip one byte of the first tensor in the checkpoint of `step` that lies in `folder`."""
    store = LocalStore(folder)
    info = next(info for info in list_commits(store) if info.step == step)
    manifest = load_commit(store, info).manifests[0]
    chunk = manifest.chunks[0]
    segment = folder / manifest.objects[chunk.object].key
    segment.chmod(0o644)
    data = bytearray(segment.read_bytes())
    data[chunk.offset] ^= 0xFF
    segment.write_bytes(data)
