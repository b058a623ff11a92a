"""What `doctor` looks at: each check is one small function that returns what it found and what to do about it."""

import importlib.metadata
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from scripts.cli.output import format_bytes
from scripts.cli.run_summary import lock_holder
from scripts.origin import PACKAGES, REPOSITORY, ForeignPackageError, check_origin

_OLDEST, _NEWEST = (3, 11), (3, 13)
_MIN_SHARED_BYTES = 2**30
_MIN_DISK_BYTES = 5 * 2**30
_CONNECT_TIMEOUT_S = 5.0
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)")


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; `advice` is the next step when something is to be done."""

    name: str
    status: Status
    found: str
    advice: str | None = None


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Check:
    """Check the interpreter."""
    found = f"{version[0]}.{version[1]} ({sys.executable})"
    if _OLDEST <= version <= _NEWEST:
        return Check("Python", Status.OK, found)
    return Check("Python", Status.PROBLEM, found, "use Python 3.11, 3.12 or 3.13; ./scripts/quickstart looks for one")


def check_our_packages() -> Check:
    """Check that our generic package names lead to this repository."""
    try:
        check_origin()
    except ForeignPackageError as error:
        return Check("our packages", Status.PROBLEM, str(error))
    return Check("our packages", Status.OK, f"{', '.join(PACKAGES)} from {REPOSITORY}")


def check_packages(required: Sequence[str], tried: Mapping[str, str], installed: Mapping[str, str]) -> Check:
    """Check that the required distributions are installed, in the versions that were tried (constraints.txt)."""
    missing = [name for name in required if name not in installed]
    if missing:
        advice = "pip install -e . -c constraints.txt, in the folder of the repository"
        return Check("packages", Status.PROBLEM, f"missing: {', '.join(missing)}", advice)
    other = [name for name in required if name in tried and installed[name] != tried[name]]
    if other:
        found = ", ".join(f"{name} {installed[name]} (tried with {tried[name]})" for name in other)
        return Check("packages", Status.WARNING, found, "pip install -e . -c constraints.txt takes the tried versions")
    return Check("packages", Status.OK, f"{len(required)} required, all in the tried versions")


def check_ray(address: str | None) -> Check:
    """Check that a Ray named by RAY_ADDRESS listens; without one, runs start a Ray of their own."""
    if not address or address in {"auto", "local"}:
        return Check("Ray", Status.OK, "no RAY_ADDRESS: cluster=local starts a Ray for each run")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return Check("Ray", Status.PROBLEM, f"RAY_ADDRESS={address}", "write it as host:port, or unset it")
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S):
            return Check("Ray", Status.OK, f"something listens at RAY_ADDRESS={address}")
    except OSError as error:
        advice = "start it (`ray start --head`), open the port, or unset RAY_ADDRESS"
        return Check("Ray", Status.PROBLEM, f"nothing answers at RAY_ADDRESS={address}: {error}", advice)


def check_compiler(which: Callable[[str], str | None] = shutil.which) -> Check:
    """Check for a C++ compiler: only DeepSpeed's optional fused operators need one."""
    found = next((path for name in ("c++", "g++", "clang++") if (path := which(name))), None)
    if found:
        return Check("compiler", Status.OK, found)
    advice = "install g++ only if engine.deepspeed asks for fused operators; all else trains without"
    return Check("compiler", Status.WARNING, "no C++ compiler", advice)


def check_accelerators() -> Check:
    """Check which accelerators torch sees. Imports torch."""
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return Check("accelerators", Status.OK, f"none: torch {torch.__version__} trains on the CPU")
    count = torch.accelerator.device_count()
    return Check("accelerators", Status.OK, f"{count} x {accelerator.type}, torch {torch.__version__}")


def check_shared_memory(folder: Path) -> Check:
    """Check the folder in memory that holds the snapshots."""
    name = f"shared memory {folder}"
    if not os.access(folder, os.W_OK):
        return Check(name, Status.PROBLEM, "not a folder that can be written", "give another checkpoint.arena_folder")
    usage = shutil.disk_usage(folder)
    found = f"{format_bytes(usage.free)} free of {format_bytes(usage.total)}"
    if usage.free >= _MIN_SHARED_BYTES:
        return Check(name, Status.OK, found)
    advice = (
        "snapshots take 24 bytes per parameter over all ranks: make it larger "
        "(docker run --shm-size=8g; mount -o remount,size=8g /dev/shm)"
    )
    return Check(name, Status.WARNING, found, advice)


def check_disk(folder: Path) -> Check:
    """Check the room where run folders are made."""
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    found = f"{format_bytes(shutil.disk_usage(existing).free)} free"
    name = f"disk {folder}"
    if not os.access(existing, os.W_OK):
        return Check(name, Status.PROBLEM, "cannot be written", "give another run.folder")
    if shutil.disk_usage(existing).free < _MIN_DISK_BYTES:
        return Check(name, Status.WARNING, found, "make room, or send checkpoints elsewhere: checkpoint=s3")
    return Check(name, Status.OK, found)


def check_leftovers(arena_folder: Path) -> Check:
    """Check for snapshots in shared memory that no keeper holds any more."""
    home = arena_folder / f"ostinato-{os.getuid()}"
    runs = [folder for folder in sorted(home.glob("*")) if folder.is_dir()] if home.is_dir() else []
    left = [run for run in runs if not any(lock_holder(path) for path in run.iterdir() if path.is_file())]
    if not left:
        return Check("leftovers", Status.OK, f"none; {len(runs)} runs hold snapshots in memory")
    size_bytes = sum(path.stat().st_blocks * 512 for run in left for path in run.rglob("*") if path.is_file())
    return Check(
        "leftovers",
        Status.WARNING,
        f"{format_bytes(size_bytes)} of {', '.join(run.name for run in left)}",
        f"resuming those runs uses them; if you will not: rm -r {home}/NAME",
    )


def check_store(url: str, options: Mapping[str, Any]) -> Check:
    """Check that checkpoints can be written at `url`, and that the server refuses to overwrite a commit."""
    from checkpoint.errors import StoreError
    from checkpoint.stores import open_store, probe_conditional_put

    try:
        probe_conditional_put(open_store(url, options))
    except StoreError as error:
        advice = "check bucket, endpoint, region and credentials (environment, or --storage-option endpoint=...)"
        return Check("store", Status.PROBLEM, str(error), advice)
    return Check("store", Status.OK, f"{url} can be written and keeps commits safe")


def required_packages() -> list[str]:
    """Return the names of the distributions that ours requires, without extras."""
    try:
        requirements = importlib.metadata.requires("ostinato") or []
    except importlib.metadata.PackageNotFoundError:
        import tomllib

        requirements = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [_REQUIREMENT.match(text) for text in requirements if "extra ==" not in text]
    return [canonical_name(name[1]) for name in names if name]


def tried_versions(constraints: Path = REPOSITORY / "constraints.txt") -> dict[str, str]:
    """Return the versions of constraints.txt by name; none when the file is not there."""
    if not constraints.exists():
        return {}
    pairs = [line.strip().partition("==") for line in constraints.read_text().splitlines() if "==" in line]
    return {canonical_name(name): version for name, _, version in pairs}


def installed_versions() -> dict[str, str]:
    """Return what is installed, by canonical name."""
    found = importlib.metadata.distributions()
    return {canonical_name(one.name): one.version.partition("+")[0] for one in found if one.name}


def canonical_name(name: str) -> str:
    """Return a distribution's name as PEP 503 normalizes it."""
    return re.sub(r"[-_.]+", "-", name).lower()
