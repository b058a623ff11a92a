"""Where the output of a process goes that has no terminal."""

import os
import sys
import tempfile
from pathlib import Path


def redirect_output(path: Path) -> None:
    """Append what this process and its libraries print to `path`; where that is not to be had, to a temporary file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:
        descriptor, _ = tempfile.mkstemp(prefix="ostinato-", suffix=f"-{path.name}")
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    os.close(descriptor)
