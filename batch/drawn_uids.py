"""How far uids may have been drawn, in a file beside the database: an older copy of that does not know the last ones.

Whoever puts a copy back does so because the database is gone, and what was submitted since with it; but people still
have its ids. So the file is written before the uids up to its mark are given out, many at once, and whoever opens the
database begins above the mark. After a regular end the mark is exact; after a kill some uids are never used.
"""

import logging
from pathlib import Path

from batch.agent.atomic_files import read_json, replace_json
from batch.errors import StoreError
from batch.ids import MAX_UID

AHEAD = 100_000
"""One sync of the disk for so many uids; 35 bits are enough for 340,000 kills."""
_log = logging.getLogger(__name__)


class DrawnUids:
    """The mark of one database. Used by one thread at a time."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".uids")
        self._mark = self._read()

    def first(self, next_uid: int) -> int:
        """Return which uid comes next, for a database that says `next_uid`."""
        return max(next_uid, self._mark)

    def reserve(self, next_uid: int) -> None:
        """Let all below `next_uid` be given out; called before they are committed. Durable. Raises OSError."""
        if next_uid > self._mark:
            self._write(min(next_uid + AHEAD, MAX_UID + 1))

    def end(self, next_uid: int) -> None:
        """Note exactly what comes next, at a regular end; what cannot be written only leaves some uids unused."""
        try:
            if next_uid < self._mark:
                self._write(next_uid)
        except OSError as error:
            _log.info("%s: %s", self._path, error.strerror)

    def _read(self) -> int:
        found = read_json(self._path)
        mark = 0 if found is None else found.get("next_uid")
        if type(mark) is not int or not 0 <= mark <= MAX_UID + 1:
            raise StoreError(f"{self._path}: is damaged: remove it; without it, only agents know the last uids")
        return mark

    def _write(self, mark: int) -> None:
        replace_json(self._path, {"next_uid": mark}, durable=True)
        self._mark = mark
