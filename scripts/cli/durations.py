"""Durations and moments as people type them."""

import re
import time
from datetime import datetime

from scripts.cli.cli_errors import CommandError

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_duration(text: str | None, where: str) -> float | None:
    """Return the seconds of `6h`, `1h30m`, `2d`, `90` (seconds), or Slurm's `1-12:00:00`. Raises CommandError."""
    if text is None:
        return None
    text = text.strip().lower()
    seconds = _slurm(text) if ":" in text else _units(text)
    if seconds is None or seconds <= 0:
        raise CommandError(f"{where} {text}: write 90s, 30m, 6h, 1h30m, 2d, or hours:minutes:seconds")
    return seconds


def parse_moment(text: str | None, where: str) -> float | None:
    """Return the epoch seconds of `2026-12-01T08:00` (local time, unless it says) or of `12h` from now."""
    if text is None:
        return None
    if _units(text.strip().lower()) is not None:
        return time.time() + (parse_duration(text, where) or 0.0)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise CommandError(f"{where} {text}: write 2026-12-01T08:00, or a duration from now such as 12h") from None


def _units(text: str) -> float | None:
    if text.replace(".", "", 1).isdigit():
        return float(text)
    if not text or _PART.sub("", text):
        return None
    return sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))


def _slurm(text: str) -> float | None:
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if len(parts) > 3 or not all(part.isdigit() for part in parts) or (dash and not days.isdigit()):
        return None
    hours, minutes, seconds = (parts + ["0"] * 3)[:3] if dash or len(parts) == 3 else ["0", *parts]
    return int(days or 0) * 86400.0 + int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds)
