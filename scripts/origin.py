"""The start-up guard: our packages have generic names, so another one of the same name could be imported instead."""

import importlib.util
import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path

PACKAGES = ("batch", "checkpoint", "configs", "planner", "recipes", "scripts", "trainer")
REPOSITORY = Path(__file__).resolve().parent.parent
OUTER_SEARCH_PATH = "OSTINATO_OUTER_PYTHONPATH"
"""The variable that tells a process of ours what PYTHONPATH was before this repository was put in front."""


class ForeignPackageError(Exception):
    """One of our packages would be imported from elsewhere than this repository."""


def check_origin(packages: Sequence[str] = PACKAGES, root: Path = REPOSITORY) -> None:
    """Check, without importing them, that `packages` come from `root`. Called by every entry point, first thing.

    Raises ForeignPackageError that names the intruder, where it lies, and what to do.
    """
    for package in packages:
        found = _folder_of(package)
        if found is None:
            raise ForeignPackageError(
                f"the package `{package}` of {root} cannot be found: run from that folder, or install it there with "
                "`pip install -e .`"
            )
        if found != root / package:
            raise ForeignPackageError(
                f"`import {package}` would take {found} and not {root / package}: take {found.parent} off PYTHONPATH, "
                "run from another folder, or use the virtual environment of this repository"
            )


def restore_search_path(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let programs that this process starts find what the user's would, and none of our packages in its place."""
    theirs = environment.pop(OUTER_SEARCH_PATH, None)
    if theirs:
        environment["PYTHONPATH"] = theirs
    elif theirs is not None:
        environment.pop("PYTHONPATH", None)


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin is not None and spec.submodule_search_locations is None:
        return Path(spec.origin).resolve()  # a single file of that name
    folders = list(spec.submodule_search_locations or [])
    return Path(folders[0]).resolve() if folders else None
