"""Many rows into one table: the statement is SQLAlchemy's, the rows go to the driver as they are.

SQLAlchemy looks at each parameter of each row, which for thousands of small rows costs more than the database does
(measured: 12 of 30 microseconds for a job with its event). Our columns are numbers and text, which need no looking at.

Rows go in by statements of many, and not by the driver's `executemany`, which lets go of the lock of the interpreter for each
row and waits for it again while other threads have it (measured with 31 rows and a busy event loop: 6 ms of 7).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert

_MAX_PARAMETERS = 999
"""In one statement; what every build of SQLite takes."""


def bulk_insert(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each of `names`, in that order; the other columns get their defaults."""
    for some in _by_powers_of_two(rows, _MAX_PARAMETERS // len(names)):
        text, order = _statement(table, names, connection.dialect, len(some))
        if order != tuple(range(len(names))):
            some = list(map(itemgetter(*order), some))
        connection.exec_driver_sql(text, tuple(chain.from_iterable(some)))


def _by_powers_of_two(rows: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """Yield pieces whose lengths are powers of two, so that there are few different statements to prepare."""
    at = 0
    while left := len(rows) - at:
        size = 1 << (min(left, most).bit_length() - 1)
        yield rows[at : at + size]
        at += size


@lru_cache(maxsize=256)
def _statement(table: Table, names: tuple[str, ...], dialect: Dialect, count: int) -> tuple[str, tuple[int, ...]]:
    """Return the statement for `count` rows, and where in a row its parameters are."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(names))
    head, values, one = str(compiled).partition(" VALUES ")
    order = tuple(names.index(name) for name in compiled.positiontup or ())
    return head + values + ", ".join([one] * count), order
