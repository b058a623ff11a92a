from pathlib import Path

import pytest

from trainer.errors import RunFolderError
from trainer.events import EventLog
from trainer.run_folder import RunFolder, RunRecord, WorkerRecord, list_runs


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "runs" / "first")
    made.create({"run": {"steps": 3}}, {"fingerprint": "abc"})
    return made


def test_a_record_comes_back_as_it_was_written(folder: RunFolder) -> None:
    record = RunRecord("first", "running", 3, "url", attempt=2, workers=(WorkerRecord(0, "10.0.0.1", 42),))
    written = folder.write_record(record)
    assert folder.record() == written
    assert folder.document() == {"run": {"steps": 3}}


def test_only_one_process_runs_a_run(folder: RunFolder) -> None:
    with folder.lock(), pytest.raises(RunFolderError, match="already being trained"):
        folder.lock().__enter__()
    with folder.lock():
        pass


def test_a_damaged_record_is_named(folder: RunFolder) -> None:
    (folder.path / "record.json").write_text('{"run": "fir')
    with pytest.raises(RunFolderError, match=r"record\.json is damaged"):
        folder.record()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="'absent' is not a run here"):
        RunFolder(tmp_path / "absent").document()


def test_a_stop_request_stands_until_it_is_cleared(folder: RunFolder) -> None:
    assert folder.stop_request() is None
    folder.request_stop(now=True)
    assert folder.stop_request() == "now"
    folder.clear_stop_request()
    assert folder.stop_request() is None


def test_following_ends_when_the_run_has_ended(folder: RunFolder) -> None:
    EventLog(folder.events_path, run="first").write("run_finished")
    folder.write_record(RunRecord("first", "finished", 3, "url"))
    assert [event["event"] for event in folder.events(follow=True)] == ["run_finished"]


def test_runs_are_listed_and_other_folders_are_not(folder: RunFolder) -> None:
    (folder.path.parent / "not-a-run").mkdir()
    assert [run.name for run in list_runs(folder.path.parent)] == ["first"]
    assert list_runs(folder.path / "nowhere") == []


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"run\.folder"):
        RunFolder(tmp_path / "file" / "run").create({}, {})
