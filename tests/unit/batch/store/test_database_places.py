"""Files and disks that are not as they should be: one clear error, nothing lost, and on it goes when they are well."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fixtures_queue import assert_rows_are_the_fold, command, sweep_of
from fixtures_small_disk import MakeTmpfs, make_tmpfs
from sqlalchemy import create_engine

from batch.database import Database
from batch.errors import BatchQueueError, StoreError, StoreFullError, StoreInUseError
from batch.job_queue import Queue
from batch.migrations import HEAD
from batch.migrations.migrate import configuration
from batch.state_folder import StateFolder
from batch.tables import METADATA

__all__ = ["make_tmpfs"]
REPOSITORY = Path(__file__).parents[4]


def test_the_tables_are_as_the_migrations_make_them(tmp_path: Path) -> None:
    Queue.open(str(tmp_path / "queue.db")).close()
    with create_engine(f"sqlite:///{tmp_path}/queue.db").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    database = Database.open(str(tmp_path / "queue.db"))
    with database.write() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")]
    database.close()
    assert found == [2, "wal"], "2 is FULL: the log is synced at each commit"


def test_the_database_and_its_log_are_for_their_user_only(tmp_path: Path) -> None:
    with Queue.open(str(tmp_path / "queue.db")) as queue:
        queue.submit([command()])
        names = ["queue.db", "queue.db-wal", "queue.db-shm", "queue.db.lock"]
        modes = {name: (tmp_path / name).stat().st_mode & 0o077 for name in names}
    assert modes == dict.fromkeys(names, 0)


def test_in_a_state_folder_that_others_may_enter_they_find_nothing_to_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateFolder(tmp_path).create()
    assert sorted(path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077 == 0) == [
        "agent",
        "code",
        "logs",
    ]


def test_a_second_controller_is_told_who_has_the_queue(tmp_path: Path) -> None:
    path = str(tmp_path / "queue.db")
    program = "import sys; from batch.job_queue import Queue; Queue.open(sys.argv[1])"
    with Queue.open(path) as queue:
        uids = queue.submit([command()])
        with pytest.raises(StoreInUseError, match=r"in use by pid \d+ on .* since"):
            Queue.open(path)
        other = subprocess.run(
            [sys.executable, "-c", program, path], cwd=REPOSITORY, capture_output=True, text=True, timeout=240
        )
        assert "StoreInUseError" in other.stderr
        assert queue.job(uids[0]).uid == uids[0]
    Queue.open(f"sqlite:///{path}").close()


def test_a_controller_whose_turn_is_over_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with Queue.open(str(path)) as queue:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE meta SET epoch = epoch + 1")
            connection.commit()
        with pytest.raises(StoreInUseError, match="taken the database over"):
            queue.submit([command()])
        assert queue.jobs() == []


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"database of another program \(tables recipes\): give another path"):
        Queue.open(str(path))
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    Queue.open(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match="has revision 9999, which this version does not know"):
        Queue.open(str(path))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_text("my thesis\n" * 1000)
    with pytest.raises(StoreError, match="is damaged or not a database of the queue"):
        Queue.open(str(path))
    assert path.read_text().startswith("my thesis")


def test_a_damaged_database_is_named_and_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with Queue.open(str(path)) as queue:
        queue.submit([command(str(index)) for index in range(2000)])
    content = bytearray(path.read_bytes())
    for start in range(8192, len(content) - 4096, 4096):
        content[start : start + 2048] = b"\xff" * 2048
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"), Queue.open(str(path)) as queue:
        queue.jobs()


@pytest.mark.parametrize("url", ["postgresql://host/queue", "", ":memory:", "sqlite:///"])
def test_other_kinds_of_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="must be the path of a SQLite file"):
        Queue.open(url)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Queue.open(str(tmp_path / "file" / "queue.db"))
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        Queue.open(str(tmp_path / "folder.db"))


def test_a_full_disk_acknowledges_nothing_and_loses_nothing(make_tmpfs: MakeTmpfs) -> None:
    folder = make_tmpfs("disk", 4 * 2**20)
    path = folder / "queue.db"
    with Queue.open(str(path)) as queue:
        acknowledged = queue.submit([command("first")])
        ballast = folder / "ballast"
        ballast.write_bytes(b"0" * 2**20)
        with pytest.raises(StoreFullError, match="no space left: nothing was written"):
            fill(queue, acknowledged)
        with pytest.raises(StoreFullError):
            queue.submit_sweep(sweep_of(3, payload={"text": "x" * 10_000}))
        assert len(queue.jobs()) == len(acknowledged)
        ballast.unlink()
        acknowledged += queue.submit([command("again")])
        model = assert_rows_are_the_fold(queue)
    assert sorted(model.jobs) == sorted(acknowledged)
    with Queue.open(str(path)) as queue:
        assert len(queue.jobs()) == len(acknowledged)


def fill(queue: Queue, acknowledged: list[int]) -> None:
    for index in range(10_000):
        acknowledged += queue.submit([command(f"{index}", payload={"text": "x" * 2000})])


def test_a_disk_too_small_to_begin_is_named(make_tmpfs: MakeTmpfs) -> None:
    with pytest.raises(StoreFullError):
        Queue.open(str(make_tmpfs("disk", 32 * 2**10) / "queue.db"))


def test_a_closed_queue_says_so(tmp_path: Path) -> None:
    queue = Queue.open(str(tmp_path / "queue.db"))
    queue.close()
    queue.close()
    with pytest.raises(BatchQueueError, match="the queue is closed"):
        queue.submit([command()])


def test_an_older_copy_gives_no_id_out_again(tmp_path: Path) -> None:
    path, copy = tmp_path / "queue.db", tmp_path / "copy.db"
    with Queue.open(str(path)) as queue:
        kept = queue.submit([command()])
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        lost = queue.submit([command()] * 3)
        # As a kill leaves it: nobody has written down where the numbers end.
        mark = path.with_name("queue.db.uids").read_text()
    path.with_name("queue.db.uids").write_text(mark)
    copy.replace(path)
    with Queue.open(str(path)) as queue:
        assert [job.uid for job in queue.jobs()] == kept
        assert min(queue.submit([command()])) > max(lost)
        after = queue.submit_sweep(sweep_of(3))
    with Queue.open(str(path)) as queue:
        assert queue.submit([command()]) == [after + 4], "after a regular end none is left out"
    path.with_name("queue.db.uids").write_text('{"next_uid": -1}')
    with pytest.raises(StoreError, match=r"queue.db.uids: is damaged: remove it"):
        Queue.open(str(path))


def test_what_is_submitted_does_not_go_into_a_file_that_was_removed(tmp_path: Path) -> None:
    path, kept = tmp_path / "queue.db", tmp_path / "kept.db"
    with Queue.open(str(path)) as queue:
        uids = queue.submit([command()])
        path.rename(kept)
        with pytest.raises(StoreError, match="was removed or replaced while the controller has it open"):
            queue.submit([command()])
        path.write_bytes(b"")
        with pytest.raises(StoreError, match="was removed or replaced"):
            queue.submit([command()])
        kept.replace(path)
        assert queue.submit([command()]) == [uids[0] + 1], "the right one is back"
