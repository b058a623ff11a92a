import json
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures_checkpoint import make_states, make_tensors, save
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch_file

from checkpoint.commits import CommitInfo, list_commits, load_commit
from checkpoint.errors import CheckpointError, DamagedError, StoreError, StoreFull
from checkpoint.export import export_safetensors
from checkpoint.state import BUFFER, FROZEN, MASTER
from checkpoint.store_memory import MemoryStore

CONFIG = "recipe:\n  name: test\n"


def _saved() -> tuple[MemoryStore, CommitInfo]:
    store = MemoryStore()
    save(store, make_states(6, 3))
    return store, list_commits(store)[0]


def _expected() -> dict[str, np.ndarray]:
    return {n: array for (n, kind), array in make_tensors(6).items() if kind in {MASTER, FROZEN, BUFFER}}


def test_one_file_that_safetensors_reads(tmp_path: Path) -> None:
    store, info = _saved()
    folder = export_safetensors(store, info, tmp_path / "out", resolved_config=CONFIG)
    arrays = load_file(folder / "model.safetensors")
    assert set(arrays) == set(_expected())
    for name, array in _expected().items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert set(load_torch_file(folder / "model.safetensors")) == set(_expected())
    assert json.loads((folder / "config.json").read_text())["ostinato"]["step"] == 6
    assert (folder / "resolved_config.yaml").read_text() == CONFIG
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_shards_and_their_index(tmp_path: Path) -> None:
    store, info = _saved()
    config = {"recipe": {"name": "τest"}}
    folder = export_safetensors(store, info, tmp_path / "out", resolved_config=config, max_shard_bytes=1000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = {shard: load_file(folder / shard) for shard in set(index["weight_map"].values())}
    assert len(shards) > 2
    assert all(shard.startswith("model-0000") and f"of-{len(shards):05d}" in shard for shard in shards)
    for name, array in _expected().items():
        np.testing.assert_array_equal(shards[index["weight_map"][name]][name], array)
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in _expected().values())
    assert json.loads((folder / "resolved_config.yaml").read_text()) == config


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    store, info = _saved()
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="exists already"):
        export_safetensors(store, info, tmp_path / "out", resolved_config=CONFIG)


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    store, info = _saved()
    key = next(iter(load_commit(store, info).objects()))
    store.truncate(key, 4096)
    with pytest.raises(DamagedError, match="ends after"):
        export_safetensors(store, info, tmp_path / "out", resolved_config=CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store, info = _saved()
    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(StoreFull, match="No space left"):
        export_safetensors(store, info, tmp_path / "out", resolved_config=CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    store, info = _saved()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file/out: Not a directory"):
        export_safetensors(store, info, tmp_path / "file/out", resolved_config=CONFIG)


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    tensors = {("w", MASTER): np.zeros(3, np.float32), ("w", BUFFER): np.zeros(3, np.float32)}
    save(store, make_states(1, 1, tensors=tensors))
    with pytest.raises(CheckpointError, match="w: saved as fp32 and as buffer"):
        export_safetensors(store, list_commits(store)[0], tmp_path / "out", resolved_config=CONFIG)
