"""Where a run came from: code, versions, command. Written beside its configuration, never read to train."""

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.fingerprint import fingerprint
from configs.redact import redacted_command
from configs.sources import OUR_FOLDER

_GIT_TIMEOUT_S = 5.0


def collect(document: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """Return the provenance of a run as JSON values; `command` is masked where it holds credentials.

    Blocks for a few deadlines of git at most. What cannot be found out is None or left out, never an error.
    """
    folders = [OUR_FOLDER.parent, *(Path(folder) for folder in document["cluster"]["code_folders"])]
    return {
        "fingerprint": fingerprint(document),
        "command": redacted_command(command),
        "working_folder": str(Path.cwd()),
        "time_s": time.time(),
        "code": git_states(folders),
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "platform": platform.platform(),
        "packages": installed_packages(),
    }


def git_states(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the state of each git work tree that holds one of `folders`, once; none without git."""
    tops = [_git(folder, "rev-parse", "--show-toplevel") for folder in folders]
    return [git_state(Path(top.strip())) for top in dict.fromkeys(tops) if top]


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit, branch, and whether and how the work tree differs; None where git gave no answer in time.

    `diff_sha256` covers changes to tracked files and the names of untracked ones, so that two runs of the same
    uncommitted code can be told from two runs of different code.
    """
    status = _git(folder, "status", "--porcelain")
    changes = _git(folder, "diff", "HEAD", "--binary")
    commit, branch = _git(folder, "rev-parse", "HEAD"), _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    dirty = None if status is None else bool(status.strip())
    digest = hashlib.sha256(f"{status}{changes}".encode()).hexdigest() if dirty and changes is not None else None
    return {
        "folder": str(folder),
        "commit": commit and commit.strip(),
        "branch": branch and branch.strip(),
        "dirty": dirty,
        "diff_sha256": digest,
    }


def installed_packages() -> dict[str, str]:
    """Return the version of every installed distribution, by name."""
    found = {found.name: found.version for found in importlib.metadata.distributions() if found.name}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None without git, outside a work tree, or after the deadline."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            timeout=_GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
