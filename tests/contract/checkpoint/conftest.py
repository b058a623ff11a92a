"""Every kind of store, opened afresh below a prefix of its own."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures_seaweedfs import SeaweedServer, seaweedfs

from checkpoint.store import Store
from checkpoint.store_memory import MemoryStore
from checkpoint.stores import open_store

__all__ = ["seaweedfs"]

KINDS = ("memory", "local", "fsspec-local", "fsspec-memory", "obstore-s3", "s3fs")


@pytest.fixture(params=KINDS)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """A function that opens the same place again, as another process would (memory: the same instance)."""
    kind: str = request.param
    if kind == "memory":
        store = MemoryStore()
        return lambda: store
    if kind == "local":
        return lambda: open_store(str(tmp_path / "root"))
    if kind == "fsspec-local":
        return lambda: open_store(f"fsspec+file://{tmp_path}/root")
    if kind == "fsspec-memory":
        name = uuid.uuid4().hex
        return lambda: open_store(f"memory://{name}")
    server: SeaweedServer = request.getfixturevalue("seaweedfs")
    url = server.url()
    if kind == "obstore-s3":
        return lambda: open_store(url, server.storage_options)
    return lambda: open_store(f"s3fs+{url}", server.fsspec_options)


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    """One store of each kind."""
    return open_again()
