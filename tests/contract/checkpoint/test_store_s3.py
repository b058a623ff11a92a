"""What only an S3 server shows: credentials, buckets, lost answers, unfinished uploads."""

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import obstore
import pytest
from fixtures_checkpoint import make_states, save
from fixtures_seaweedfs import SeaweedServer
from obstore.exceptions import GenericError

from checkpoint.commits import load_commit, usable_commits
from checkpoint.errors import StoreDenied, StoreError, StoreUnavailable
from checkpoint.stores import open_store, probe_conditional_put
from checkpoint.verify import verify_commit


def test_the_usual_variables_are_enough(seaweedfs: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweedfs.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(seaweedfs.url())
    probe_conditional_put(store)
    assert store.abort_uploads(0.0) == 0


def test_a_wrong_secret_is_denied(seaweedfs: SeaweedServer) -> None:
    with pytest.raises(StoreDenied, match="refuses, check credentials"):
        open_store(seaweedfs.url(), seaweedfs.storage_options | {"secret_access_key": "wrong"})


def test_a_bucket_that_is_not_there_is_named(seaweedfs: SeaweedServer) -> None:
    with pytest.raises(StoreError, match="s3://no-such-bucket/x: there is no such bucket"):
        open_store("s3://no-such-bucket/x", seaweedfs.storage_options)


def test_a_lost_answer_is_read_back(seaweedfs: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(seaweedfs.url(), seaweedfs.storage_options)
    put = obstore.put

    def lose_answer(*arguments: object, **options: object) -> None:
        put(*arguments, **options)
        raise GenericError("HTTP error: operation timed out")

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", lose_answer)
        assert store.put_if_absent("commit/1", b"ours") is True
        with pytest.raises(StoreUnavailable, match="operation timed out"):
            store.put("commit/2", b"ours")
    # The client repeated a request that had got through: the server says that the object exists.
    assert store.put_if_absent("commit/1", b"ours") is True
    assert store.put_if_absent("commit/1", b"theirs") is False


def test_a_checkpoint_on_s3_is_whole(seaweedfs: SeaweedServer) -> None:
    store = open_store(seaweedfs.url(), seaweedfs.storage_options)
    save(store, make_states(1, 2))
    save(store, make_states(2, 2), parent=load_commit(store, usable_commits(store)[0]))
    assert [info.step for info in usable_commits(store)] == [2, 1]
    assert all(verify_commit(store, info).whole for info in usable_commits(store))


def test_uploads_that_a_dead_writer_left_are_aborted(seaweedfs: SeaweedServer) -> None:
    url = seaweedfs.url()
    program = textwrap.dedent(f"""
        import os, signal
        from checkpoint.stores import open_store

        def parts():
            for number in range(6):
                if number == 5:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield memoryview(os.urandom(16 * 2**20))

        open_store({url!r}).put_stream("data/x", parts())
    """)
    environment = os.environ | seaweedfs.environment | {"PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        assert process.wait(60) == -9
    store = open_store(url, seaweedfs.storage_options)
    assert list(store.list("")) == []
    assert store.abort_uploads(1000.0) == 0, "too young"
    assert store.abort_uploads(-60.0) == 1
    assert store.abort_uploads(-60.0) == 0
