"""The repository's own files, as the architecture tests look at them."""

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("configs", "checkpoint", "recipes", "trainer", "batch", "planner", "scripts")


def python_files() -> list[Path]:
    """Return the Python files of our packages, relative to the repository."""
    return sorted(
        path.relative_to(REPOSITORY) for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")
    )


def tracked_files() -> list[Path] | None:
    """Return the files that git tracks, relative to the repository; None outside a git checkout."""
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    if answer.returncode != 0:
        return None
    return [Path(name) for name in answer.stdout.split("\0") if name and (REPOSITORY / name).is_file()]
