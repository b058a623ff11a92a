import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpoint.errors import ObjectMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from checkpoint.store_fsspec import FsspecStore
from checkpoint.store_local import LocalStore
from checkpoint.store_memory import MemoryStore
from checkpoint.stores import open_store, probe_conditional_put


class _HeedlessStore(MemoryStore):
    """A server that speaks the protocol and ignores the condition, as `rclone serve s3` does."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


def test_a_server_that_ignores_conditions_is_refused() -> None:
    store = _HeedlessStore()
    with pytest.raises(StoreError, match="ignores the condition If-None-Match"):
        probe_conditional_put(store)
    assert list(store.list("")) == []


@pytest.mark.parametrize("url", ["{path}/x", "file://{path}/x"])
def test_paths_are_folders(url: str, tmp_path: Path) -> None:
    store = open_store(url.format(path=tmp_path))
    assert isinstance(store, LocalStore)
    store.put("a/b", b"x")
    assert (tmp_path / "x" / "a" / "b").read_bytes() == b"x"


def test_other_urls_go_through_fsspec(tmp_path: Path) -> None:
    assert isinstance(open_store("memory://x"), FsspecStore)
    assert isinstance(open_store(f"fsspec+file://{tmp_path}"), FsspecStore)
    with pytest.raises(StoreError, match="unknown prefix 'boto'; allowed: fsspec, s3fs"):
        open_store("boto+s3://bucket")
    with pytest.raises(StoreError, match="nothing://x: cannot open"):
        open_store("nothing://x")


def test_plain_http_is_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"http://s3\.example\.com is not encrypted"):
        open_store("s3://bucket/x", {"endpoint": "http://s3.example.com"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.org")
    with pytest.raises(StoreError, match=r"http://s3\.example\.org is not encrypted"):
        open_store("s3://bucket/x")


def test_an_endpoint_that_nobody_serves_is_one_quick_error() -> None:
    begin = time.monotonic()
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b"}
    with pytest.raises(StoreUnavailable, match=r"s3://bucket/x: http://127\.0\.0\.1:9 gives no answer"):
        open_store("s3://bucket/x", options)
    assert time.monotonic() - begin < 30


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(StoreError, match="'sercet' is not valid"):
        open_store("s3://bucket/x", {"endpoint": "http://127.0.0.1:9", "sercet": "x"})


def _raising(number: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreDenied),
        (errno.EROFS, StoreDenied),
        (errno.EIO, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_what_the_disk_says_becomes_our_error(
    number: int, kind: type[StoreError], call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "root")
    store.put("a/b", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _raising(number))
        for write in (
            lambda: store.put("a/b", b"new"),
            lambda: store.put_if_absent("a/c", b"new"),
            lambda: store.put_stream("a/c", [memoryview(b"new")]),
        ):
            with pytest.raises(kind, match=os.strerror(number)):
                write()
    assert store.get("a/b") == b"old"
    assert [found.key for found in store.list("")] == ["a/b"]
    assert list((tmp_path / "root" / ".partial").iterdir()) == []


def test_a_real_full_device_is_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space") as raised:
            os.write(descriptor, b"x")
    finally:
        os.close(descriptor)
    with pytest.raises(StoreFull, match="free space"), LocalStore(tmp_path)._errors("key"):
        raise raised.value


def test_a_file_system_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raising(errno.EOPNOTSUPP))
    with pytest.raises(StoreError, match="no hard links"):
        LocalStore(tmp_path).put_if_absent("commit/1", b"x")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(StoreError, match="root"):
        LocalStore(tmp_path / "root").put("a/b", b"x")


def test_temporary_files_of_dead_writers_are_removed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b", b"x")
    for name, age_s in (("old", 1000), ("new", 0)):
        path = tmp_path / ".partial" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    assert [found.key for found in store.list("")] == ["a/b"]
    assert store.abort_uploads(100) == 1
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["new"]


def test_an_empty_place_lists_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "nowhere")
    assert list(store.list("commit/")) == []
    assert store.abort_uploads(0) == 0
    with pytest.raises(ObjectMissing):
        store.get("commit/1")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_swept_away_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    link = os.link
    swept = []

    def sweep_first(source: Path, target: Path) -> None:
        if not swept:
            swept.append(target)
            target.parent.rmdir()
        link(source, target)

    monkeypatch.setattr(os, "link", sweep_first)
    assert store.put_if_absent("commit/1", b"x")
    assert swept
    assert store.get("commit/1") == b"x"


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FsspecStore("memory://hangs", {"timeout_s": 0.05})
    released = []

    def hang(path: str) -> Iterator[bytes]:
        while not released:
            time.sleep(0.01)
        raise AssertionError(path)

    monkeypatch.setattr(store._fs, "cat_file", hang)
    with pytest.raises(StoreUnavailable, match=r"no answer within 0\.05 s"):
        store.get("a/b")
    released.append(True)


def test_scripted_faults_fire_and_say_so() -> None:
    store = MemoryStore()
    store.fail_put(nth=2, error=StoreFull("x"))
    store.put("a", b"1")
    assert store.unfired == 1
    with pytest.raises(StoreFull):
        store.put("b", b"1")
    assert store.unfired == 0
    store.fail_put(error=StoreUnavailable("lost"), applied=True)
    with pytest.raises(StoreUnavailable):
        store.put_if_absent("c", b"1")
    assert store.get("c") == b"1"
    store.fail_get(error=StoreDenied("x"), prefix="c")
    store.get("a")
    with pytest.raises(StoreDenied):
        store.get("c")
