"""A writer that dies at any call of the store leaves the old checkpoint or the new one, never a torn one."""

import itertools

import numpy as np
import pytest
from fixtures_checkpoint import SEGMENT_BYTES, make_states, make_tensors, save

from checkpoint.commits import list_commits, load_commit, usable_commits
from checkpoint.fence import claim_fence
from checkpoint.persist import commit_when_complete, write_rank
from checkpoint.reader import CommitSource
from checkpoint.store_memory import MemoryStore
from checkpoint.sweep import sweep


class Crash(BaseException):
    """The process dies here: nothing that handles errors may handle this."""


def _assert_whole(store: MemoryStore, allowed: set[int]) -> int:
    """Assert that every listed commit can be loaded completely; return the newest step."""
    commits = usable_commits(store)
    for info in commits:
        source = CommitSource(store, info)
        for (name, kind), array in make_tensors(info.step).items():
            np.testing.assert_array_equal(source.read_array(name, kind), array)
    assert commits[0].step in allowed
    return commits[0].step


def _save_step_two(store: MemoryStore, fence: int) -> None:
    parent = load_commit(store, list_commits(store)[0])
    for state in make_states(2, 2, fence=fence):
        write_rank(store, state, segment_bytes=SEGMENT_BYTES, parent=parent)
        commit_when_complete(store, 2, fence, 2)


@pytest.mark.parametrize("applied", [False, True])
def test_dying_at_any_call_of_a_save(applied: bool) -> None:
    newest = set()
    for nth in itertools.count(1):
        store = MemoryStore()
        save(store, make_states(1, 2))
        store.fail_call(nth=nth, error=Crash(), applied=applied)
        try:
            _save_step_two(store, fence=1)
        except Crash:
            newest.add(_assert_whole(store, {1, 2}))
        else:
            assert store.unfired == 1
            break
        fence = claim_fence(store)
        _save_step_two(store, fence)
        assert _assert_whole(store, {2}) == 2
    assert nth > 20
    assert newest == ({1, 2} if applied else {1})


@pytest.mark.parametrize("applied", [False, True])
def test_dying_at_any_call_of_a_sweep(applied: bool) -> None:
    for nth in itertools.count(1):
        store = MemoryStore()
        for step in (1, 2, 3, 4):
            save(store, make_states(step, 2))
        for key in [found.key for found in store.list("")]:
            store.set_age(key, 1000.0)
        store.fail_call(nth=nth, error=Crash(), applied=applied)
        try:
            sweep(store, keep_last=2, grace_s=100.0)
        except Crash:
            _assert_whole(store, {4})
        else:
            break
        sweep(store, keep_last=2, grace_s=100.0)
        _assert_whole(store, {4})
        assert [info.step for info in list_commits(store)] == [4, 3]
    assert nth > 10
