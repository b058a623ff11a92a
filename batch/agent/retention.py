"""Which folders of jobs may go: of jobs that are over, when they are old and not among the newest.

A job that is over has a mark in its folder, which the controller's word alone makes: an attempt that was preempted, or
will be tried again, leaves none, so that what it resumes from stays. A new attempt takes the mark away. A folder
without a mark is never touched, nor is one of which an attempt is here; logs are in the log store, and stay.
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from batch.agent.atomic_files import read_json, replace_json
from batch.agent.ownership import ASIDE

DAY_S = 86_400.0
_MARK = "over.json"
_GONE = ".gone-"
_JUMP_S = 3600.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays: whatever was over less than `keep_s` ago, and the `keep_newest` that were over last, however long."""

    keep_s: float = 14 * DAY_S
    keep_newest: int = 100


class JobFolders:
    """The folders of one agent's jobs, `<folder>/jobs/<uid>`, and its unpacked bundles, `<folder>/code/<address>`.

    `mark` and `unmark` by the thread that owns the attempts, `sweep` by any other, one at a time.
    """

    def __init__(
        self,
        folder: Path,
        retention: Retention,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`steady` is never set: by it a jump of `clock` is known, which makes nothing old."""
        self._jobs = folder / "jobs"
        self._code = folder / "code"
        self._retention = retention
        self._clock = clock
        self._steady = steady
        self._looked_s: tuple[float, float] | None = None
        self._jumped_s = 0.0
        self._lock = threading.Lock()

    def mark(self, uid: int) -> None:
        """Note that a job is over. Raises OSError."""
        folder = self._jobs / str(uid)
        if folder.is_dir():
            replace_json(folder / _MARK, {"over_s": self._clock()})

    def unmark(self, uid: int) -> None:
        """Note that a job is tried again: from here on its folder stays."""
        with self._lock:
            (self._jobs / str(uid) / _MARK).unlink(missing_ok=True)

    def sweep(self, here: Collection[int]) -> list[int]:
        """Delete what may go, and return the jobs that it was of; `here` are those of which an attempt is here.

        Blocking, as long as deleting takes. What cannot be deleted is logged, and tried again by the next sweep.
        """
        try:
            return self._sweep(here)
        except OSError as error:
            _LOG.warning("%s: what may go cannot be looked through: %s", self._jobs, error)
            return []

    def _sweep(self, here: Collection[int]) -> list[int]:
        oldest_s = self._lived_s() - self._retention.keep_s
        marks = ((_over_s(path), int(path.name)) for path in self._jobs.glob("[0-9]*/"))
        over = sorted(((over_s, uid) for over_s, uid in marks if over_s is not None), reverse=True)
        gone = [uid for over_s, uid in over[self._retention.keep_newest :] if over_s < oldest_s and uid not in here]
        moved = [uid for uid in gone if self._move_away(uid)]
        for path in self._jobs.glob(f"{_GONE}*"):  # also what an agent that ended meanwhile has left
            _delete(path)
        for path in self._jobs.glob(f"{ASIDE.format('*')}*"):
            if path.lstat().st_ctime < oldest_s:  # since it was put aside
                _delete(path)
        for path in self._code.glob("*/"):
            if path.stat().st_mtime < oldest_s:  # each use sets it; the controller has the bundle
                _delete(path)
        return moved

    def _lived_s(self) -> float:
        """Return the time without what the clock has been set forward since this process looks."""
        clock_s, steady_s = self._clock(), self._steady()
        if self._looked_s is not None:
            jump_s = (clock_s - self._looked_s[0]) - (steady_s - self._looked_s[1])
            if abs(jump_s) > _JUMP_S:
                _LOG.warning("the clock has jumped by %.0f s: no folder is taken for older by that", jump_s)
                self._jumped_s = max(0.0, self._jumped_s + jump_s)
        self._looked_s = clock_s, steady_s
        return clock_s - self._jumped_s

    def _move_away(self, uid: int) -> bool:
        """Take a folder from where a new attempt would look for it, unless there is one meanwhile."""
        folder = self._jobs / str(uid)
        with self._lock:
            if not (folder / _MARK).exists():
                return False
            folder.rename(self._jobs / f"{_GONE}{uid}")
            return True


def used(path: Path) -> None:
    """Note that an unpacked bundle is used now."""
    os.utime(path)


def _over_s(folder: Path) -> float | None:
    found = read_json(folder / _MARK)
    return None if found is None else float(found["over_s"])


def _delete(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        _LOG.warning("%s cannot be deleted: %s", path, error)
