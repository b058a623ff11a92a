"""The face of the package in one process, with a real keeper and a store in a folder."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from checkpoint.adapters import adapter_for
from checkpoint.arena_sets import list_sets, run_folder
from checkpoint.checkpointer import Checkpointer
from checkpoint.commits import usable_commits
from checkpoint.errors import ArenaError, CheckpointError, DamagedError, IncompleteError, KeeperError
from checkpoint.fence import claim_fence
from checkpoint.stores import open_store
from tests.fixtures_checkpointer import DEADLINE_S, TinyRun, alive, end_keepers, eventually, keeper_pids, same


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_keepers(tmp_path / "keeper.log")


def train(run: TinyRun, checkpointer: Checkpointer, first: int, last: int) -> None:
    for step in range(first, last):
        run.step(step)
        checkpointer.snapshot(step, {"position": step * 10})


def forget_slots(run: TinyRun) -> None:
    for found in list_sets(run_folder(run.config.arena_folder, "tiny/run")):
        found.remove()


def test_a_run_comes_back_from_its_slots_and_from_the_store(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer()
    assert first.restore() is None
    assert first.reports() == []
    train(run, first, 1, 4)
    assert first.save()
    (report,) = first.wait(DEADLINE_S)
    assert (report.step, report.ok, report.committed, report.error) == (3, True, True, None)
    saved = run.state()
    train(run, first, 4, 6)
    newest = run.state()
    first.close(retire=False)

    again = TinyRun(folder, seed=9)
    second = again.checkpointer()
    assert [(c.step, c.origin) for c in second.candidates()] == [
        (5, "slot"),
        (4, "slot"),
        (3, "slot"),
        (3, "store"),
    ]
    restored = second.restore()
    assert restored is not None
    assert (restored.step, restored.origin, restored.extra) == (5, "slot", {"position": 50})
    assert same(again.state(), newest)
    forget_slots(again)
    restored = second.restore()
    assert restored is not None
    assert (restored.step, restored.origin, restored.extra) == (3, "store", {"position": 30})
    assert same(again.state(), saved)
    second.close(retire=True)


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer()
    train(run, first, 1, 4)
    first.close(retire=False)
    again = TinyRun(folder, seed=9)
    second = again.checkpointer()
    assert second.restore(step=2) is not None
    train(again, second, 3, 6)
    for step in range(4, 6):
        run.step(step)
    assert same(again.state(), run.state())
    second.close(retire=True)


def test_retiring_removes_everything_and_the_keeper_ends(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    train(run, checkpointer, 1, 2)
    (pid,) = keeper_pids(run.log)
    checkpointer.close(retire=True)
    eventually(lambda: not alive(pid), "the keeper ends")
    assert list((folder / "shm").rglob("*")) == [folder / "shm" / f"ostinato-{os.getuid()}"]


def test_the_keeper_ends_when_nobody_comes_back(folder: Path) -> None:
    run = TinyRun(folder, linger_s=0.3)
    checkpointer = run.checkpointer()
    train(run, checkpointer, 1, 2)
    (pid,) = keeper_pids(run.log)
    checkpointer.close(retire=False)
    eventually(lambda: not alive(pid), "the keeper ends")
    assert not list((folder / "shm").rglob("*.arena"))


def test_older_arenas_go_when_the_new_one_holds_a_snapshot(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer()
    train(run, first, 1, 2)
    first.close(retire=False)
    second = run.checkpointer()
    sets = run_folder(run.config.arena_folder, "tiny/run")
    assert [found.fence for found in list_sets(sets)] == [2, 1]
    assert second.restore() is not None
    train(run, second, 2, 3)
    eventually(lambda: [found.fence for found in list_sets(sets)] == [2], "the older set is removed")
    second.close(retire=True)


def test_the_keeper_is_in_nobodys_process_group(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    (pid,) = keeper_pids(run.log)
    assert os.getpgid(pid) not in {os.getpgid(0), os.getpid()}
    assert os.getsid(pid) != os.getsid(0)
    assert psutil.Process(pid).ppid() != os.getpid()
    assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
    assert os.getpriority(os.PRIO_PROCESS, pid) >= min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    checkpointer.close(retire=True)


def test_a_busy_keeper_skips_or_waits(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    (pid,) = keeper_pids(run.log)
    os.kill(pid, signal.SIGSTOP)
    try:
        train(run, checkpointer, 1, 2)
        assert checkpointer.save()
        assert checkpointer.save(), "the same step is on its way already"
        train(run, checkpointer, 2, 4)
        assert not checkpointer.save()
        with pytest.raises(KeeperError, match=r"save of step 1 has not ended within 0\.05 s"):
            checkpointer.wait(0.05)
        train(run, checkpointer, 4, 9)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [report.step for report in checkpointer.wait(DEADLINE_S)] == [1]
    assert checkpointer.save()
    assert [report.step for report in checkpointer.wait(DEADLINE_S)] == [8]
    assert checkpointer.save(), "durable already"
    assert checkpointer.wait(0.0) == []
    checkpointer.close(retire=True)

    waits = TinyRun(folder, when_busy="wait")
    checkpointer = waits.checkpointer()
    for step in (10, 11, 12):
        train(waits, checkpointer, step, step + 1)
        assert checkpointer.save()
    assert [report.step for report in checkpointer.wait(DEADLINE_S)] == [10, 11, 12]
    checkpointer.close(retire=True)


def test_a_save_before_the_first_snapshot_is_an_error(folder: Path) -> None:
    checkpointer = TinyRun(folder).checkpointer()
    with pytest.raises(CheckpointError, match="call snapshot first"):
        checkpointer.save()
    checkpointer.close(retire=True)


def test_a_store_that_cannot_be_written_is_a_loud_report_and_training_goes_on(folder: Path) -> None:
    run = TinyRun(folder)
    (folder / "store").write_text("a file where the store's folder should be")
    checkpointer = run.checkpointer(fence=1)
    train(run, checkpointer, 1, 3)
    assert checkpointer.save()
    (report,) = checkpointer.wait(DEADLINE_S)
    assert not report.ok
    assert report.error is not None
    assert report.error.startswith("Store")
    assert str(folder / "store") in report.message
    assert f"FAILED: {report.error}" in run.log.read_text()
    train(run, checkpointer, 3, 6)
    (folder / "store").unlink()
    assert claim_fence(open_store(run.url, {})) == 1
    assert checkpointer.save()
    assert checkpointer.wait(DEADLINE_S)[0].ok
    checkpointer.close(retire=True)


def test_an_unreachable_store_is_a_loud_report(folder: Path) -> None:
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b", "allow_http": True}
    run = TinyRun(folder, storage_options=options, save_timeout_s=5.0)
    checkpointer = run.checkpointer(fence=1, url="s3://nowhere/run")
    train(run, checkpointer, 1, 2)
    assert checkpointer.save()
    (report,) = checkpointer.wait(DEADLINE_S)
    assert report.error == "StoreUnavailable"
    checkpointer.close(retire=True)


def test_an_older_attempt_is_fenced_out_and_told_so(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    train(run, checkpointer, 1, 2)
    claim_fence(open_store(run.url, {}))
    assert checkpointer.save()
    assert checkpointer.wait(DEADLINE_S)[0].error == "FencedError"
    assert usable_commits(open_store(run.url, {})) == []
    checkpointer.close(retire=True)


def damage(run: TinyRun, step: int) -> None:
    for segment in (run.folder / "store" / "data" / f"{step:012d}").rglob("*.safetensors"):
        data = segment.read_bytes()
        half = len(data) // 2
        segment.write_bytes(data[:half] + bytes(byte ^ 0xFF for byte in data[half:]))


def test_a_damaged_checkpoint_is_quarantined_and_the_one_before_used(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer()
    states = {}
    for step in (1, 2):
        train(run, first, step, step + 1)
        states[step] = run.state()
        first.save()
        assert first.wait(DEADLINE_S)[0].ok
    first.close(retire=False)
    forget_slots(run)
    damage(run, 2)
    again = TinyRun(folder, seed=9)
    second = again.checkpointer()
    restored = second.restore()
    assert restored is not None
    assert restored.step == 1
    assert same(again.state(), states[1])
    assert [info.step for info in usable_commits(open_store(run.url, {}))] == [1]
    damage(run, 1)
    with pytest.raises(DamagedError, match="no checkpoint is left"):
        second.restore()
    with pytest.raises(DamagedError, match="all 2 checkpoints were found damaged; put back a copy"):
        second.restore()  # and it never starts over by itself
    second.close(retire=True)


def test_a_damaged_slot_is_passed_over(folder: Path) -> None:
    run = TinyRun(folder, hash_snapshots=True)
    first = run.checkpointer()
    train(run, first, 1, 3)
    newest = first._arena.sealed()[0]
    first._arena.data(newest.slot)[3] ^= 0xFF
    first.close(retire=False)
    again = TinyRun(folder, seed=9)
    second = again.checkpointer()
    restored = second.restore()
    assert restored is not None
    assert restored.step == 1
    second.close(retire=True)


def test_a_step_that_does_not_exist_names_those_that_do(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    train(run, checkpointer, 1, 3)
    with pytest.raises(IncompleteError, match=r"step 7: .* there are \[1, 2\]"):
        checkpointer.restore(step=7)
    checkpointer.close(retire=True)


def test_another_model_is_refused(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer()
    train(run, first, 1, 2)
    first.save()
    assert first.wait(DEADLINE_S)[0].ok
    first.close(retire=False)
    other = TinyRun(folder)
    other.model = torch.nn.Sequential(torch.nn.Linear(5, 12))
    other.optimizer = torch.optim.AdamW(other.model.parameters())
    other.adapter = adapter_for(other.model, other.optimizer)
    second = other.checkpointer()
    with pytest.raises(IncompleteError, match=r"0\.weight"):
        second.restore()
    second.close(retire=True)


def test_a_restart_under_the_same_fence_needs_a_higher_generation(folder: Path) -> None:
    run = TinyRun(folder)
    first = run.checkpointer(fence=1)
    train(run, first, 1, 2)
    with pytest.raises(ArenaError, match="higher generation"):
        run.checkpointer(fence=1)
    second = run.checkpointer(fence=1, generation=1)
    assert second.restore() is not None
    second.close(retire=False)
    first.close(retire=True)


def test_too_little_shared_memory_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoint.arena._free_bytes", lambda _: 10_000)
    run = TinyRun(folder)
    with pytest.raises(ArenaError, match=r"10000 are available.*checkpoint\.arena_folder"):
        run.checkpointer()


def test_large_extra_is_refused_and_older_snapshots_stay(folder: Path) -> None:
    run = TinyRun(folder)
    checkpointer = run.checkpointer()
    train(run, checkpointer, 1, 2)
    with pytest.raises(ArenaError, match="keep `extra`"):
        checkpointer.snapshot(2, {"x": "x" * 2**21})
    assert [candidate.step for candidate in checkpointer.candidates()] == [1]
    checkpointer.close(retire=True)
