"""Folders of jobs that are over go when they are old and not among the newest; nothing else does."""

import time
from pathlib import Path

import pytest

from batch.agent.retention import DAY_S, JobFolders, Retention


class Folders:
    """Job folders under a clock of the test's own."""

    def __init__(self, path: Path, keep_newest: int) -> None:
        self.path = path
        self.now_s = 1_000 * DAY_S
        retention = Retention(keep_s=14 * DAY_S, keep_newest=keep_newest)
        self.jobs = JobFolders(path, retention, lambda: self.now_s, lambda: self.now_s)

    def ran(self, uid: int, *, over: bool = True) -> None:
        """A job has left its folder; one that is not over can resume from it."""
        run = self.path / "jobs" / str(uid) / "run"
        run.mkdir(parents=True)
        (run / "checkpoint").write_text("all that it learned")
        if over:
            self.jobs.mark(uid)

    def there(self) -> list[int]:
        """Return the jobs that have a folder."""
        return sorted(int(path.name) for path in (self.path / "jobs").iterdir())


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path, keep_newest=2)


def test_the_old_go_but_never_the_newest(folders: Folders) -> None:
    for uid in range(1, 6):
        folders.ran(uid)
        folders.now_s += DAY_S
    assert folders.jobs.sweep(()) == []
    folders.now_s += 100 * DAY_S
    assert sorted(folders.jobs.sweep(())) == [1, 2, 3]
    assert folders.there() == [4, 5]


def test_within_the_time_however_many_there_are_all_stay(folders: Folders) -> None:
    for uid in range(1, 30):
        folders.ran(uid)
    folders.now_s += 13 * DAY_S
    assert folders.jobs.sweep(()) == []
    assert len(folders.there()) == 29


def test_what_can_resume_or_is_here_stays(folders: Folders) -> None:
    for uid in range(1, 8):
        folders.ran(uid, over=uid != 3)
        folders.now_s += 1.0
    folders.jobs.unmark(2)  # a person has requeued it
    folders.now_s += 100 * DAY_S
    assert sorted(folders.jobs.sweep({1})) == [4, 5]
    assert folders.there() == [1, 2, 3, 6, 7]
    assert (folders.path / "jobs/3/run/checkpoint").exists()


def test_a_job_without_a_folder_is_marked_nowhere(folders: Folders) -> None:
    folders.jobs.mark(9)
    assert not (folders.path / "jobs").exists()
    assert folders.jobs.sweep(()) == []


def test_what_an_agent_has_left_half_deleted_goes(folders: Folders) -> None:
    (folders.path / "jobs/.gone-4/run").mkdir(parents=True)
    folders.jobs.sweep(())
    assert folders.there() == []


def test_what_was_put_aside_goes_when_it_is_old(folders: Folders) -> None:
    folders.ran(1)
    aside = folders.path / "jobs" / ".1-before-1"
    aside.mkdir()
    folders.now_s = time.time()
    folders.jobs.sweep(())
    assert aside.exists()
    folders.now_s += 15 * DAY_S
    folders.jobs.sweep(())
    assert not aside.exists()
    assert folders.there() == [1], "one of the newest"


def test_a_clock_that_jumps_ahead_makes_nothing_old(tmp_path: Path) -> None:
    folders = Folders(tmp_path, keep_newest=0)
    steady_s = 0.0
    folders.jobs = JobFolders(tmp_path, Retention(14 * DAY_S, 0), lambda: folders.now_s, lambda: steady_s)
    folders.ran(1)
    assert folders.jobs.sweep(()) == []
    folders.now_s += 365 * DAY_S
    assert folders.jobs.sweep(()) == []
    folders.now_s, steady_s = folders.now_s + 15 * DAY_S, 15 * DAY_S
    assert folders.jobs.sweep(()) == [1]
