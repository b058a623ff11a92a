from fixtures_checkpoint import SEGMENT_BYTES, make_states, save

from checkpoint import layout
from checkpoint.commits import list_commits, load_commit, quarantine, usable_commits
from checkpoint.fence import claim_fence, newest_fence
from checkpoint.persist import commit_when_complete, write_rank
from checkpoint.store_memory import MemoryStore
from checkpoint.sweep import sweep
from checkpoint.verify import verify_commit

GRACE_S = 100.0


def _store_with(*steps: int) -> MemoryStore:
    """Return a store with an incremental checkpoint of each step, all old."""
    store = MemoryStore()
    for step in steps:
        newest = usable_commits(store)[:1]
        save(store, make_states(step, 2), parent=load_commit(store, newest[0]) if newest else None)
    _age(store)
    return store


def _age(store: MemoryStore, prefix: str = "") -> None:
    for key in [found.key for found in store.list(prefix)]:
        store.set_age(key, 10 * GRACE_S)


def _steps_with_data(store: MemoryStore) -> set[int]:
    return {origin[0] for found in store.list(layout.DATA) if (origin := layout.data_origin(found.key))}


def test_retention_deletes_commits_and_what_only_they_used() -> None:
    store = _store_with(10, 20, 30, 40, 50)
    report = sweep(store, keep_last=2, keep_every_steps=30, grace_s=GRACE_S)
    assert report.steps == (10, 20)
    assert [info.step for info in usable_commits(store)] == [50, 40, 30]
    assert _steps_with_data(store) == {10, 30, 40, 50}, "step 10 still holds the frozen weights of all"
    assert all(verify_commit(store, info).whole for info in usable_commits(store))
    assert {found.key.split("/")[1] for found in store.list(layout.PARTS)} == {
        f"{step:012d}" for step in (30, 40, 50)
    }
    again = sweep(store, keep_last=2, keep_every_steps=30, grace_s=GRACE_S)
    assert (again.steps, again.num_objects) == ((), 0)


def test_a_pinned_step_stays() -> None:
    store = _store_with(1, 2, 3, 4)
    assert sweep(store, keep_last=2, pinned=[1], grace_s=GRACE_S).steps == (2,)


def test_commits_go_before_their_data() -> None:
    store = _store_with(1, 2, 3)
    store.calls.clear()
    sweep(store, keep_last=2, grace_s=GRACE_S)
    deleted = [key for call, key in store.calls if call == "delete"]
    assert deleted[0] == layout.commit_key(1)
    assert any(key.startswith(layout.DATA) for key in deleted[1:])


def test_what_failed_saves_left_goes_after_the_grace_period_only() -> None:
    store = _store_with(1, 2)
    write_rank(store, make_states(3, 2)[0], segment_bytes=SEGMENT_BYTES)
    assert sweep(store, keep_last=2, grace_s=GRACE_S).num_objects == 0
    assert 3 in _steps_with_data(store)
    _age(store)
    assert sweep(store, keep_last=2, grace_s=GRACE_S).num_objects > 0
    assert _steps_with_data(store) == {1, 2}


def test_what_a_save_in_flight_refers_to_stays() -> None:
    store = _store_with(1, 2)
    parent = load_commit(store, usable_commits(store)[0])
    states = make_states(5, 2)
    write_rank(store, states[0], segment_bytes=SEGMENT_BYTES, parent=parent)
    for step in (3, 4):
        save(store, make_states(step, 2))
    _age(store, layout.COMMITS)
    sweep(store, keep_last=2, grace_s=GRACE_S)
    write_rank(store, states[1], segment_bytes=SEGMENT_BYTES)
    outcome = commit_when_complete(store, 5, 1, 2)
    assert outcome is not None
    assert verify_commit(store, usable_commits(store)[0]).whole


def test_a_damaged_checkpoint_goes_after_the_grace_period() -> None:
    store = _store_with(1, 2, 3)
    quarantine(store, 3, "test")
    assert sweep(store, keep_last=2, grace_s=GRACE_S).steps == ()
    _age(store)
    assert sweep(store, keep_last=2, grace_s=GRACE_S).steps == (3,)
    assert [info.step for info in list_commits(store)] == [2, 1]
    assert list(store.list(layout.BAD)) == []


def test_nothing_is_deleted_on_the_word_of_a_damaged_commit() -> None:
    store = _store_with(1, 2, 3)
    store.damage(layout.part_key(3, 1, 0, 2), 300)
    _age(store)
    assert sweep(store, keep_last=3, grace_s=GRACE_S).num_objects == 0
    quarantine(store, 3, "test")
    assert sweep(store, keep_last=2, grace_s=GRACE_S).num_objects > 0
    assert all(verify_commit(store, info).whole for info in usable_commits(store))


def test_old_fences_go_and_the_newest_stays() -> None:
    store = MemoryStore()
    fences = [claim_fence(store) for _ in range(40)]
    sweep(store, keep_last=2, grace_s=GRACE_S)
    assert newest_fence(store) == fences[-1]
    assert len(list(store.list(layout.FENCES))) < 20
    assert claim_fence(store) == fences[-1] + 1


def test_decisions_of_generations_long_over_go_and_the_last_stays() -> None:
    store = _store_with(10)
    for generation in (1, 2, 3):
        store.put(layout.decision_key(1, generation), b"{}")
    _age(store)
    sweep(store, keep_last=2, grace_s=GRACE_S)
    assert [found.key for found in store.list(layout.DECISIONS)] == [layout.decision_key(1, 3)]
