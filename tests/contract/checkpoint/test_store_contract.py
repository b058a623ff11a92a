"""What every Store promises, asked of the fake and of the real ones alike."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkpoint.errors import ObjectMissing
from checkpoint.store import Store
from checkpoint.stores import probe_conditional_put


def _keys(store: Store, prefix: str) -> list[str]:
    return [found.key for found in store.list(prefix)]


def test_what_was_put_comes_back(store: Store) -> None:
    store.put("a/b", b"bytes")
    store.put("a/view", memoryview(b"a view"))
    store.put("a/empty", b"")
    assert store.get("a/b") == b"bytes"
    assert store.get("a/view") == b"a view"
    assert store.get("a/empty") == b""


def test_put_replaces(store: Store) -> None:
    store.put("a/b", b"old, and longer")
    store.put("a/b", b"new")
    assert store.get("a/b") == b"new"


def test_put_if_absent_changes_nothing_that_exists(store: Store) -> None:
    assert store.put_if_absent("commit/1", b"ours") is True
    assert store.put_if_absent("commit/1", b"theirs") is False
    assert store.get("commit/1") == b"ours"


def test_of_eight_racing_creators_one_wins(open_again: Callable[[], Store]) -> None:
    stores = [open_again() for _ in range(8)]
    for turn in range(3):
        with ThreadPoolExecutor(8) as pool:
            created = list(
                pool.map(
                    lambda i, turn=turn: stores[i].put_if_absent(f"race/{turn}", b"writer %d" % i), range(8)
                )
            )
        assert created.count(True) == 1
        assert stores[0].get(f"race/{turn}") == b"writer %d" % created.index(True)


def test_the_probe_accepts_every_store_we_ship(store: Store) -> None:
    probe_conditional_put(store)
    assert _keys(store, "") == []


def test_a_stream_becomes_one_object(store: Store) -> None:
    data = os.urandom(5 * 2**20 + 17)
    view = memoryview(data)
    store.put_stream("data/large", iter([view[:0], view[:7], view[7 : 4 * 2**20], view[4 * 2**20 :]]))
    assert store.get("data/large") == data
    assert [found.size_bytes for found in store.list("data/")] == [len(data)]


def test_a_stream_of_several_parts_becomes_one_object(store: Store) -> None:
    block = os.urandom(2**20)
    store.put_stream("data/parts", (memoryview(block) for _ in range(36)))
    assert store.get("data/parts") == block * 36


def test_a_stream_that_breaks_leaves_no_object(store: Store) -> None:
    def breaking() -> Iterator[memoryview]:
        yield memoryview(os.urandom(2**20))
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        store.put_stream("data/broken", breaking())
    assert _keys(store, "data/") == []


def test_ranges_come_in_the_order_asked(store: Store) -> None:
    data = bytes(range(256)) * 64
    store.put("data/x", data)
    ranges = [(1000, 1010), (0, 1), (5, 5000), (16_000, len(data))]
    assert [bytes(part) for part in store.get_ranges("data/x", ranges)] == [data[a:b] for a, b in ranges]
    assert list(store.get_ranges("data/x", [])) == []


def test_a_range_past_the_end_gives_what_there_is(store: Store) -> None:
    store.put("data/short", b"0123456789")
    found = [bytes(part) for part in store.get_ranges("data/short", [(8, 20), (2, 4), (30, 40)])]
    assert found == [b"89", b"23", b""]


def test_missing_objects_are_named(store: Store) -> None:
    for read in (lambda: store.get("no/such"), lambda: store.get_ranges("no/such", [(0, 1)])):
        with pytest.raises(ObjectMissing, match="no/such"):
            read()


def test_a_listing_has_the_order_of_the_keys(store: Store) -> None:
    keys = ["c/2/x", "c/10", "c-1", "c/1", "d", "c/2-x", "cc/1"]
    before_s = time.time() - 5
    for key in keys:
        store.put(key, key.encode())
    assert _keys(store, "") == sorted(keys)
    assert _keys(store, "c/") == ["c/1", "c/10", "c/2-x", "c/2/x"]
    assert _keys(store, "c/1") == ["c/1", "c/10"]
    assert _keys(store, "c") == ["c-1", "c/1", "c/10", "c/2-x", "c/2/x", "cc/1"]
    assert _keys(store, "nothing/") == []
    found = next(iter(store.list("c/10")))
    assert found.size_bytes == 4
    assert before_s <= found.modified_s <= time.time() + 5


def test_delete_is_content_when_nothing_is_there(store: Store) -> None:
    for key in ("a/1", "a/2", "b/1"):
        store.put(key, b"x")
    store.delete(["a/1", "a/nothing", "b/1"])
    store.delete([])
    assert _keys(store, "") == ["a/2"]
    store.put("b/1", b"again")
    assert store.get("b/1") == b"again"


def test_another_opening_sees_what_was_written(open_again: Callable[[], Store]) -> None:
    open_again().put("a/b", b"bytes")
    assert open_again().get("a/b") == b"bytes"


def test_unfinished_uploads_are_none_after_whole_ones(store: Store) -> None:
    store.put_stream("data/x", [memoryview(b"x")])
    assert store.abort_uploads(0.0) == 0
    assert store.get("data/x") == b"x"


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden/a"])
def test_keys_that_no_store_could_keep_are_refused(store: Store, key: str) -> None:
    for write in (store.put, store.put_if_absent):
        with pytest.raises(ValueError, match="key"):
            write(key, b"x")
