"""Statements of the hot path: put into words by SQLAlchemy once, handed to the driver with values as they are.

SQLAlchemy looks at each parameter of each row, and prepares a result for each statement, which for thousands of small
rows, and for commits of a few, costs more than the database does (measured: 12 of 30 microseconds for a job with its
event, 0.4 of 1.0 ms for a commit of eight). Our columns are numbers and text, which need no looking at.

Rows go in by statements of many, and not by the driver's `executemany`, which for each row lets go of the lock of the
interpreter and waits for it again while other threads have it (measured with 31 rows and a busy event loop: 6 ms of 7).

The errors are the driver's: see database.ERRORS.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Executable, Table, bindparam, insert, select

_MAX_PARAMETERS = 999
"""In one statement; what every build of SQLite takes."""
_MAX_ROWS = 64
"""In one statement. There is one for each number of rows, since after each statement a commit may have to wait for the
interpreter."""
MAX_STATEMENTS = 512
"""That are remembered, here and by the driver: those of four tables, and the others."""


def execute(connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Any:
    """Execute a statement with values for its parameters, by name; returns the driver's cursor.

    `statement` is remembered: a constant of a module, not one that is made for each call.
    """
    text, names = _compiled(statement, connection.dialect)
    return _run(connection, text, [values[name] for name in names])


def bulk_insert(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each of `names`, in that order; the other columns get their defaults."""
    for some in _pieces(rows, min(_MAX_ROWS, _MAX_PARAMETERS // len(names))):
        text, order = _insertion(table, names, connection.dialect, len(some))
        if order != tuple(range(len(names))):
            some = list(map(itemgetter(*order), some))
        _run(connection, text, list(chain.from_iterable(some)))


def rows_with(connection: Connection, column: Column[Any], values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table, in the order of its columns, in which `column` is one of `values`."""
    for some in _pieces(values, _MAX_ROWS):
        text = _selection(column, connection.dialect, len(some))
        yield from _run(connection, text, some).fetchall()


def _run(connection: Connection, text: str, values: Sequence[Any]) -> Any:
    cursor = connection.connection.cursor()
    cursor.execute(text, values)
    return cursor


def _pieces(rows: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (rows[at : at + most] for at in range(0, len(rows), most))


@lru_cache(maxsize=MAX_STATEMENTS)
def _compiled(statement: Executable, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return the text of a statement, and the names of its parameters in order."""
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # all that is executed compiles
    return str(compiled), tuple(compiled.positiontup or ())


@lru_cache(maxsize=MAX_STATEMENTS)
def _insertion(table: Table, names: tuple[str, ...], dialect: Dialect, count: int) -> tuple[str, tuple[int, ...]]:
    """Return the statement for `count` rows, and where in a row its parameters are."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    head, values, one = str(compiled).partition(" VALUES ")
    order = tuple(names.index(name) for name in compiled.positiontup or ())
    return head + values + ", ".join([one] * count), order


@lru_cache(maxsize=MAX_STATEMENTS)
def _selection(column: Column[Any], dialect: Dialect, count: int) -> str:
    """Return the statement that looks for `count` values."""
    wanted: list[Any] = [bindparam(f"value_{number}") for number in range(count)]
    return str(select(column.table).where(column.in_(wanted)).compile(dialect=dialect))
