"""Amounts as people write them: `15T` tokens, `1e24` FLOPs, `30d`, `2000usd`, `80GiB`."""

import re
from collections.abc import Mapping
from decimal import Decimal

from planner.errors import BadInputError

_NUMBER = re.compile(
    r"\s*((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:_[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)"
    r"\s*([^\d\s,._]*)\s*"
)
"""Commas and underscores part groups of three digits and nothing else: `1,5T` may mean 1.5T or 15T."""

_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SHOWN = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_TOO_LARGE = Decimal("1e60")
_LARGEST_SHOWN = 1e15
"""From here on powers of ten say more than letters."""


def read_count(text: str, what: str = "amount") -> int:
    """Return a number of things: `15T`, `70B`, `1e24`, `300_000`. Raises BadInputError."""
    value = _read(text, what, _THOUSANDS, "a number with k, M, B, T, P or E after it, or a power of ten: 15T, 1.5e13")
    if value < 1:
        raise BadInputError(f"{what} = {text}: must be at least 1")
    return int(value)


def read_duration_s(text: str, what: str = "duration") -> float:
    """Return seconds: `90s`, `45min`, `6h`, `30d`, `2w`. Raises BadInputError."""
    return float(_read(text, what, _SECONDS, "a number and s, min, h, d or w: 6h, 30d"))


def read_usd(text: str, what: str = "budget") -> float:
    """Return dollars: `2000usd`, `$2000`, `1.5Musd`, `1e6`. Raises BadInputError."""
    bare = text.strip().removeprefix("$")
    bare = re.sub(r"(?i)\s*usd$", "", bare)
    return float(_read(bare, what, _THOUSANDS, "a number of dollars: 2000usd, $2000, 1.5M", original=text))


def read_bytes(text: str, what: str = "size") -> int:
    """Return bytes: `80GiB`, `80GB`. Raises BadInputError."""
    return int(_read(text, what, _BYTES, "a number and B, kB, MB, GB, TB or KiB, MiB, GiB, TiB: 80GiB"))


def show_count(value: float) -> str:
    """Return a number as people write it: `405.9B`, `15T`, `3.8e+25`."""
    if abs(value) >= _LARGEST_SHOWN:
        return f"{value:.4g}"
    for size, letter in _SHOWN:
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _read(text: str, what: str, units: Mapping[str, float], allowed: str, *, original: str | None = None) -> Decimal:
    found = _NUMBER.fullmatch(text)
    shown = text if original is None else original
    if found is None or found[2].lower() not in units:
        raise BadInputError(f"{what} = {shown}: must be {allowed}")
    value = Decimal(found[1].replace("_", "").replace(",", "")) * Decimal(units[found[2].lower()])
    if not 0 < value < _TOO_LARGE:
        raise BadInputError(f"{what} = {shown}: must be positive and below 1e60")
    return value
