"""Small JSON files that are there as a whole or not at all. The standard library only: the runner imports this."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def replace_json(path: Path, value: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write `value` to `path` in place of what was there; with `durable`, it survives a loss of power on return."""
    temporary = _write_aside(path, value, durable=durable)
    temporary.replace(path)
    if durable:
        _sync_folder(path.parent)


def create_json(path: Path, value: Mapping[str, Any]) -> bool:
    """Write `value` to `path` unless it exists; return whether we did. Atomic also between nodes, on NFS too."""
    temporary = _write_aside(path, value, durable=False)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what `path` says; None when it is not there, or was torn by a loss of power."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write_aside(path: Path, value: Mapping[str, Any], *, durable: bool) -> Path:
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            json.dump(value, file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
