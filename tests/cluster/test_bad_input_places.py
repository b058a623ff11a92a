"""Data, disks, memory and clusters that are not as they should be: one clear error, and checkpoints stay intact."""

import contextlib
import json
import shutil
import socket
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from checkpoint.commits import list_commits, usable_commits
from checkpoint.stores import open_store
from checkpoint.verify import verify_commit
from recipes.records import SAMPLE_URL
from tests.cluster.runs import SMALL
from tests.fixtures_checkpoint import damage
from tests.fixtures_cli import Ostinato, Said
from tests.fixtures_seaweedfs import SeaweedServer, seaweedfs
from tests.fixtures_small_disk import MakeTmpfs, make_tmpfs
from trainer.run_folder import RunFolder

__all__ = ["make_tmpfs", "seaweedfs"]
pytestmark = pytest.mark.cluster
TRAIN = ("train", *SMALL, "run.name=mine", "optim.warmup_steps=2", "optim.decay_steps=1000")
DEADLINE_S = 90.0
"""For what takes seconds on idle cores, and minutes when it is tried again and again."""
with_ray = pytest.mark.usefixtures("one_ray")


def the_error(said: Said, code: int) -> str:
    """Return what stderr says beside warnings: one error, no traceback."""
    errors = [line for line in said.err.splitlines() if not line.startswith(("warning: ", "          "))]
    assert (said.code, len(errors)) == (code, 1), said
    assert "Traceback" not in said.out + said.err
    return errors[0]


def durable_steps(url: Path) -> list[int]:
    """Return the steps of the commits, newest first, each of whose bytes is as it was written."""
    store = open_store(str(url), {})
    commits = list_commits(store)
    assert all(verify_commit(store, commit).whole for commit in commits)
    return [commit.step for commit in commits]


def test_a_ray_that_is_not_there(ostinato: Ostinato) -> None:
    began_s = time.monotonic()
    said = ostinato(*TRAIN, "cluster=ray", "cluster.address=127.0.0.1:1", "cluster.connect_timeout_s=5")
    assert "cluster.address = 127.0.0.1:1: no Ray can be reached there" in the_error(said, 4)
    assert time.monotonic() - began_s < DEADLINE_S


def test_something_else_than_a_ray(ostinato: Ostinato) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = ostinato(*TRAIN, "cluster=ray", f"cluster.address={address}", "cluster.connect_timeout_s=2")
    assert f"cluster.address = {address}: no Ray can be reached there (no answer within 2 s)" in the_error(said, 4)


def test_a_store_that_does_not_answer(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began_s = time.monotonic()
    said = ostinato(*TRAIN, "checkpoint.url=s3://bucket/runs")
    assert "s3://bucket/runs/mine: http://127.0.0.1:9 gives no answer" in the_error(said, 4)
    assert time.monotonic() - began_s < DEADLINE_S


@pytest.mark.parametrize(
    ("bucket", "environment", "message"),
    [
        ("absent", {}, "s3://absent/mine: there is no such bucket at"),
        ("checkpoints", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "refuses, check credentials and permissions"),
    ],
)
def test_a_bucket_that_is_not_there_or_not_ours(
    bucket: str,
    environment: dict[str, str],
    message: str,
    ostinato: Ostinato,
    seaweedfs: SeaweedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**seaweedfs.environment, **environment}.items():
        monkeypatch.setenv(name, value)
    began_s = time.monotonic()
    assert message in the_error(ostinato(*TRAIN, f"checkpoint.url=s3://{bucket}"), 4)
    assert time.monotonic() - began_s < DEADLINE_S


@with_ray
def test_too_little_shared_memory(ostinato: Ostinato, make_tmpfs: MakeTmpfs) -> None:
    memory = make_tmpfs("memory", 2**20)
    said = ostinato(*TRAIN, "run.steps=3", f"checkpoint.arena_folder={memory}")
    error = the_error(said, 4)
    assert f"shared memory at {memory}" in error
    assert "1048576 are available: enlarge it" in error
    assert "AutoResume: gives up" in said.out
    assert said.out.count("shared memory at") == 1


@with_ray
def test_a_disk_that_fills_up(ostinato: Ostinato, make_tmpfs: MakeTmpfs, tmp_path: Path) -> None:
    disk = make_tmpfs("disk", 2**22)
    folder = RunFolder(tmp_path / "runs/mine")
    filler = threading.Thread(target=_fill_after_commit, args=(folder, disk / "filler"))
    filler.start()
    words = [*TRAIN, f"checkpoint.url={disk}", "checkpoint.every_steps=20", "checkpoint.when_busy=wait"]
    words.append("run.steps=100")
    said = ostinato(*words)
    filler.join()

    error = the_error(said, 4)
    assert "the checkpoint of step 100 could not be written" in error
    assert "No space left on device: free space, or set checkpoint.url elsewhere" in error
    failed = [event["step"] for event in folder.events() if event["event"] == "checkpoint_failed"]
    assert len(set(failed)) > 1, "the run went on after a periodic save had failed"
    assert "THE CHECKPOINT OF STEP 100 FAILED: StoreFull" in said.out
    before = durable_steps(disk / "mine")
    assert before
    assert max(before) < 100

    assert "No space left on device" in the_error(ostinato(*words), 4)  # and it is not even started
    (disk / "filler").unlink()
    assert ostinato(*words).code == 0
    assert durable_steps(disk / "mine")[0] == 100
    steps = [event["step"] for event in folder.events() if event["event"] == "step"]
    assert steps == list(range(1, 101)), "the last snapshot was still in memory"


@with_ray
def test_a_checkpoint_that_is_damaged(ostinato: Ostinato, tmp_path: Path) -> None:
    checkpoints, folder = tmp_path / "runs/mine/checkpoints", RunFolder(tmp_path / "runs/mine")
    words = [*TRAIN, "checkpoint.every_steps=5", "checkpoint.when_busy=wait"]
    assert ostinato(*words, "run.steps=10").code == 0
    damage(checkpoints, 10)
    said = ostinato(*words, "run.steps=12")
    assert said.code == 0
    (event,) = [event for event in folder.events() if event["event"] == "checkpoint_damaged"]
    assert "store of step 10" in event["message"]
    assert event["message"] in said.out, "whoever watches is told"
    losses = [(event["step"], event["loss"]) for event in folder.events() if event["event"] == "step"]
    assert [step for step, _ in losses] == [*range(1, 11), *range(6, 13)]
    assert losses[5:10] == losses[10:15]
    assert [commit.step for commit in usable_commits(open_store(str(checkpoints), {}))] == [12, 10, 5]


def _fill_after_commit(folder: RunFolder, path: Path) -> None:
    """Take all the space that is left once the first checkpoint is durable."""
    deadline_s = time.monotonic() + 240
    while time.monotonic() < deadline_s:
        if any(event["event"] == "checkpoint_committed" for event in folder.events()):
            break
        time.sleep(0.01)
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@with_ray
def test_a_catalogue_that_is_damaged(ostinato: Ostinato, tmp_path: Path) -> None:
    catalogue, cache = tmp_path / "catalogue", tmp_path / "cache"
    shutil.copytree(SAMPLE_URL, catalogue)
    words = [*TRAIN, "data=catalogue", f"data.url={catalogue}", f"data.cache_folder={cache}", "cluster.workers=2"]
    assert ostinato(*words, "run.steps=3").code == 0
    shard = sorted(catalogue.glob("*.parquet"))[0]
    whole = shard.read_bytes()

    shutil.rmtree(cache)
    shard.write_bytes(whole[:-100])
    error = the_error(ostinato(*words, "run.steps=6"), 1)
    assert f"{shard}: truncated: {len(whole) - 100} bytes" in error
    assert "copy it again, or build the catalogue again" in error

    shard.write_bytes(whole)
    _cut_picture(catalogue, shard, row=37)
    error = the_error(ostinato(*words, "run.steps=6"), 1)
    assert f"{shard}, row group 0, row 37: picture of 3 bytes, must be 3072" in error
    assert durable_steps(tmp_path / "runs/mine/checkpoints") == [3]


def _cut_picture(catalogue: Path, shard: Path, row: int) -> None:
    """Leave three bytes of the picture in `row`, and have the index agree with the shard."""
    table = pq.read_table(shard)
    rows = table.to_pylist()
    rows[row]["image"] = rows[row]["image"][:3]
    before = shard.read_bytes()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    index = json.loads((catalogue / "index.json").read_text())
    (entry,) = [entry for entry in index["shards"] if entry["xxh3_128"] == xxhash.xxh3_128_hexdigest(before)]
    entry.update(size_bytes=shard.stat().st_size, xxh3_128=xxhash.xxh3_128_hexdigest(shard.read_bytes()))
    (catalogue / "index.json").write_text(json.dumps(index))
