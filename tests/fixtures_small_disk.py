"""File systems in memory of a given size, for what must go on when a disk is full."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MakeTmpfs = Callable[[str, int], Path]


@pytest.fixture
def make_tmpfs(tmp_path: Path) -> Iterator[MakeTmpfs]:
    """Return a function that mounts a file system in memory of so many bytes; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(name: str, size_bytes: int) -> Path:
        path = tmp_path / name
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here: needs root and CAP_SYS_ADMIN")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        # Lazily: a keeper may still have files open there.
        subprocess.run(["umount", "-l", str(path)], check=True)
