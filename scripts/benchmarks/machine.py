"""Where a benchmark ran: the machine, and the versions of what took part."""

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import psutil

PACKAGES = ("ostinato", "torch", "deepspeed", "ray", "numpy")


def describe_machine() -> dict[str, str | int | float]:
    """Return CPU model, usable cores, memory in bytes, the load of the last minute, and the operating system."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(more_packages: Iterable[str] = ()) -> dict[str, str | None]:
    """Return the versions of Python and of the distributions; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (*PACKAGES, *more_packages):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
