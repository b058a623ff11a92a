"""SIGKILL at random moments: what was acknowledged survives, and nothing torn is ever listed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from checkpoint_writer import tensors_of
from fixtures_seaweedfs import SeaweedServer

from checkpoint.commits import list_commits, load_commit
from checkpoint.reader import CommitSource
from checkpoint.store import Store
from checkpoint.stores import open_store
from checkpoint.sweep import sweep

_WRITER = Path(__file__).with_name("checkpoint_writer.py")
_ROOT = Path(__file__).parents[2]


def _run_and_kill(url: str, environment: dict[str, str], steps: int, delay_s: float) -> int:
    """Let a writer acknowledge `steps`, kill it `delay_s` later, and return the last acknowledged step."""
    paths = {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(_WRITER), url],
        env=os.environ | environment | paths,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(steps)]
        time.sleep(delay_s)
    finally:
        process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait(10)
    return max((int(line) for line in lines if line.endswith("\n")), default=0)


def _check(store: Store, acknowledged: int) -> None:
    """Check that the newest checkpoint is at least as new as `acknowledged`, and that all are whole."""
    commits = list_commits(store)
    assert max((info.step for info in commits), default=0) >= acknowledged
    for info in commits:
        source = CommitSource(store, info)
        expected = tensors_of(info.step)
        assert set(source.tensors()) == set(expected)
        for (name, kind), array in expected.items():
            np.testing.assert_array_equal(source.read_array(name, kind), array)


def _attack(url: str, environment: dict[str, str], store: Store, shots: int) -> None:
    randomness = random.Random(shots)
    acknowledged = 0
    for shot in range(shots):
        steps = randomness.randrange(3) if shot else 1
        acknowledged = max(acknowledged, _run_and_kill(url, environment, steps, randomness.random() * 0.5))
        _check(store, acknowledged)
        sweep(store, keep_last=2, grace_s=-60.0)
        _check(store, acknowledged)
    assert acknowledged > 0
    referenced = {key for info in list_commits(store) for key in load_commit(store, info).objects()}
    assert {found.key for found in store.list("data/")} == referenced, "nothing else is left"


def test_killed_while_writing_to_a_folder(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    _attack(url, {}, open_store(url), shots=4)
    assert list((tmp_path / "checkpoints" / ".partial").iterdir()) == []


def test_killed_while_writing_to_s3(seaweedfs: SeaweedServer) -> None:
    url = seaweedfs.url()
    _attack(url, seaweedfs.environment, open_store(url, seaweedfs.storage_options), shots=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_a_hundred_times_while_writing_to_a_folder(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    _attack(url, {}, open_store(url), shots=100)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_fifty_times_while_writing_to_s3(seaweedfs: SeaweedServer) -> None:
    url = seaweedfs.url()
    _attack(url, seaweedfs.environment, open_store(url, seaweedfs.storage_options), shots=50)
