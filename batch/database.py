"""The database of the queue: how it is opened, who may open it, and its errors as ours.

What is particular to SQLite stands here. A commit is durable when it returns: the write-ahead log is synced at each
(synchronous=FULL). Readers see the last commit and block nobody.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool, StaticPool

from batch.driver_statements import MAX_STATEMENTS
from batch.errors import StoreError, StoreFullError
from batch.migrations import HEAD
from batch.store_lock import StoreLock

BUSY_TIMEOUT_S = 10.0
READERS = 16
READER_TIMEOUT_S = 30.0
_APPLICATION_ID = 0x4F535431  # "OST1" in the header of the file, so that another program's database is known as such
_CHECKPOINT_PAGES = 16_000  # copies the log into the database every 64 MiB: everybody waits, 40 ms on a slow disk
_FULL_BELOW_BYTES = 2**20
_SCHEMA = "sqlite:///"
ERRORS = (DBAPIError, sqlite3.Error)
"""What the database raises, through SQLAlchemy or past it; both are ours outside of a transaction."""


class Database:
    """An open database. `write` is for one thread; `read` for any. Made by `open`."""

    def __init__(self, path: Path, lock: StoreLock) -> None:
        self.path = path
        self._lock = lock
        self._writer = _engine(path, read_only=False)
        self._readers = _engine(path, read_only=True)
        self._file: tuple[int, int] | None = None

    @classmethod
    def open(cls, url: str) -> "Database":
        """Take the lock, make the file or migrate it. Raises StoreInUseError, StoreError."""
        path = _path_of(url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: cannot be made: {error.strerror}") from error
        lock = StoreLock(path)
        lock.acquire()
        try:
            _check_ours(path)
        except BaseException:
            lock.release()
            raise
        database = cls(path, lock)
        try:
            with database.translated():
                _bring_up(database._writer, path)
                database._file = _file_of(path)
        except BaseException:
            database.close()
            raise
        return database

    @property
    def holder(self) -> str:
        """Return who has the database: this process, in words."""
        return self._lock.holder

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Begin a transaction that commits at the end, durably, or rolls back.

        Raises StoreFullError, StoreError; nothing is written then.
        """
        with self.translated(), self._writer.begin() as connection:
            self._check_there()
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, the last commit. Raises StoreError."""
        with self.translated(), self._readers.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections and let go of the lock."""
        self._readers.dispose()
        self._writer.dispose()
        self._lock.release()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of the database and of files beside it as StoreError or StoreFullError."""
        try:
            yield
        except ERRORS as error:
            raise _as_ours(error.orig if isinstance(error, DBAPIError) else error, self.path) from error
        except PoolTimeoutError as error:
            raise StoreError(f"{self.path}: no connection for reading within {READER_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise _full(self.path) from error
            raise StoreError(f"{self.path}: {error}") from error

    def _check_there(self) -> None:
        """Raise StoreError when what we write into is not the file of that name any more: it would be lost."""
        if self._file is not None and _file_of(self.path) != self._file:
            raise StoreError(
                f"{self.path}: was removed or replaced while the controller has it open, and nothing more is written: "
                "end the controller, put the right file there, remove those that end in -wal and -shm, and start it"
            )


def _file_of(path: Path) -> tuple[int, int]:
    """Return what tells a file from another one of its name; nothing has what is returned when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _path_of(url: str) -> Path:
    if url.startswith(_SCHEMA):
        url = url.removeprefix(_SCHEMA)
    if "://" in url or url in {"", ":memory:"}:
        raise StoreError(f"database {url!r}: must be the path of a SQLite file, or {_SCHEMA}PATH")
    return Path(url).expanduser().absolute()


def _engine(path: Path, *, read_only: bool) -> Engine:
    settings: dict[str, Any] = {"poolclass": StaticPool}
    if read_only:
        settings = {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": 0, "pool_timeout": READER_TIMEOUT_S}
    arguments = {
        "check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "isolation_level": None,
        "cached_statements": MAX_STATEMENTS,
    }  # fmt: skip
    engine = create_engine(f"{_SCHEMA}{path}", connect_args=arguments, **settings)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        for pragma in _READER_PRAGMAS if read_only else _WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    # The driver would begin transactions by itself, and only before it writes: a reader would see several states.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Past SQLAlchemy, whose preparations take three times as long as this does.
        connection.connection.cursor().execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


_WRITER_PRAGMAS = (
    "journal_mode = WAL", "synchronous = FULL", "foreign_keys = OFF", f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    "cache_size = -65536",
)  # fmt: skip
_READER_PRAGMAS = ("query_only = ON", "cache_size = -16384")


def _check_ours(path: Path) -> None:
    """Raise StoreError when the file is another program's; looks before anything is changed."""
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: cannot be opened for writing: it is no file: give the path of one")
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    except sqlite3.Error as error:
        raise _as_ours(error, path) from error
    if tables and application != _APPLICATION_ID:
        names = ", ".join(sorted(tables)[:5])
        raise StoreError(f"{path}: is a database of another program (tables {names}): give another path")


def _bring_up(engine: Engine, path: Path) -> None:
    """Make the database, for its user only, if there is none, and migrate it to HEAD."""
    with contextlib.suppress(OSError):  # what is wrong, the database says better
        path.touch(mode=0o600)  # SQLite gives the files beside it, which hold as much, the mode that it finds
    with engine.connect() as connection:
        found = None
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found != HEAD:
        # Only now: Alembic takes a third of a second to import.
        from batch.migrations.migrate import upgrade  # noqa: PLC0415

        with engine.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
            upgrade(connection, found, path)
    path.chmod(0o600)


def _as_ours(error: BaseException | None, path: Path) -> StoreError:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return _full(path)
    if primary in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return StoreError(
            f"{path}: is damaged or not a database of the queue ({error}): restore it from a copy, or move it away"
        )
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return StoreError(f"{path}: cannot be opened for writing ({error}): check the folder and its owner")
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreError(f"{path}: another program keeps it locked for over {BUSY_TIMEOUT_S:.0f} s: end that program")
    return StoreError(f"{path}: {error}")


def _full(path: Path) -> StoreFullError:
    return StoreFullError(f"{path}: no space left: nothing was written; make room and ask again")


def _is_full(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _FULL_BELOW_BYTES
