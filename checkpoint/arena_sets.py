"""Where the arenas of a run lie on a node: one folder per run, in it one per set of workers.

`<arena_folder>/ostinato-<uid>/<run>/<fence>-<generation>/r<rank>.arena`; the keeper's socket and lock lie in the
run's folder. Only the user can enter any of it.
"""

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from checkpoint.arena import Arena
from checkpoint.errors import ArenaError

_SET = re.compile(r"(\d+)-(\d+)")
_ARENA = re.compile(r"r(\d+)\.arena")


@dataclass(frozen=True, order=True, slots=True)
class ArenaSet:
    """The arenas on this node of one generation of workers. Sets are ordered by age: by fence, then generation."""

    fence: int
    generation: int
    folder: Path

    def path(self, rank: int) -> Path:
        """Return where the arena of `rank` lies."""
        return self.folder / f"r{rank}.arena"

    def ranks(self) -> list[int]:
        """Return the ranks that have an arena on this node."""
        try:
            names = [entry.name for entry in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in names if (match := _ARENA.fullmatch(name)))

    def open(self) -> dict[int, Arena]:
        """Return the arenas by rank, opened for reading; those that cannot be read are left out."""
        arenas = {}
        for rank in self.ranks():
            try:
                arenas[rank] = Arena.open(self.path(rank))
            except ArenaError:
                continue
        return arenas

    def size_bytes(self) -> int:
        """Return the memory that the set's files take."""
        sizes = 0
        for rank in self.ranks():
            try:
                sizes += self.path(rank).stat().st_blocks * 512
            except FileNotFoundError:
                continue
        return sizes

    def remove(self) -> None:
        """Remove the files. Memory is freed when the last process has unmapped them."""
        shutil.rmtree(self.folder, ignore_errors=True)


def run_folder(arena_folder: str | Path, run: str) -> Path:
    """Create and return the folder of `run`. Raises ArenaError when it cannot be made, or belongs to somebody else."""
    name = quote(run, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    home = Path(arena_folder) / f"ostinato-{os.getuid()}"
    folder = home / name
    try:
        for path in (home, folder):
            path.mkdir(mode=0o700, exist_ok=True)
            _check_private(path)
    except OSError as error:
        raise ArenaError(f"checkpoint.arena_folder = {arena_folder}: {error}; must be a folder in memory") from error
    return folder


def _check_private(path: Path) -> None:
    """Refuse a folder that another user made or can write to, as anybody can in /dev/shm."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise ArenaError(f"{path}: must be a folder of user {os.getuid()} that nobody else can write to; remove it")


def new_set(folder: Path, fence: int, generation: int) -> ArenaSet:
    """Create and return the set of `fence` and `generation` in a run's folder."""
    path = folder / f"{fence}-{generation}"
    path.mkdir(mode=0o700, exist_ok=True)
    return ArenaSet(fence, generation, path)


def list_sets(folder: Path) -> list[ArenaSet]:
    """Return the sets in a run's folder, newest first."""
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    sets = [ArenaSet(int(match[1]), int(match[2]), path) for path in paths if (match := _SET.fullmatch(path.name))]
    return sorted(sets, reverse=True)


def superseded(folder: Path) -> list[ArenaSet]:
    """Return the sets that are no longer needed: all older than one in which each rank here has a sealed slot.

    Every rank's arena exists before any rank seals one, because ranks restore together before they train.
    """
    sets = list_sets(folder)
    for index, candidate in enumerate(sets):
        arenas = candidate.open()
        complete = bool(arenas) and list(arenas) == candidate.ranks() and all(a.sealed() for a in arenas.values())
        for arena in arenas.values():
            arena.close()
        if complete:
            return sets[index + 1 :]
    return []
