"""Strict reading of our own JSON objects: each field typed and named in the error. Pure.

A stored object is two lines of JSON: an envelope with format, version and the xxh3-128 of the second line,
then the body. So any damage is found before the body is believed, and `jq` still reads both.
"""

import json
from collections.abc import Mapping
from typing import Any

from xxhash import xxh3_128_hexdigest

from checkpoint.errors import CheckpointError, DamagedError, FormatError
from checkpoint.state import Json


def seal(format_name: str, version: int, body: Mapping[str, Any]) -> bytes:
    """Return the stored form of `body`."""
    line = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    envelope = {"format": format_name, "version": version, "xxh3": xxh3_128_hexdigest(line)}
    return json.dumps(envelope, separators=(",", ":")).encode() + b"\n" + line + b"\n"


def unseal(data: bytes, format_name: str, version: int, where: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the body of a stored object; `where` names it in errors.

    Raises DamagedError when it is not whole, FormatError when another version of the program wrote it.
    """
    first, _, rest = data.partition(b"\n")
    try:
        envelope = json.loads(first)
        found = (envelope["format"], envelope["version"], envelope["xxh3"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{where}: does not begin with an envelope of {format_name}: {first[:80]!r}"
        ) from error
    if found[0] != format_name:
        raise DamagedError(f"{where}: format is {found[0]!r}, expected {format_name!r}")
    if found[1] != version:
        raise FormatError(
            f"{where}: version {found[1]} of {format_name}; this program reads version {version}"
        )
    if not rest.endswith(b"\n") or xxh3_128_hexdigest(rest[:-1]) != found[2]:
        raise DamagedError(f"{where}: content does not match its xxh3-128 {found[2]}")
    try:
        return json.loads(rest)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{where}: is not JSON: {error}") from error


class Fields:
    """One JSON object whose fields are exactly `names`. Accessors raise DamagedError on a wrong type."""

    def __init__(self, value: Any, names: tuple[str, ...], where: str) -> None:  # noqa: ANN401 - any JSON
        self.where = where
        if not isinstance(value, dict) or set(value) != set(names):
            found = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise DamagedError(f"{where}: has {found}; expected the fields {sorted(names)}")
        self._value: dict[str, Any] = value

    def integer(self, name: str, minimum: int = 0) -> int:
        """Return a whole number of at least `minimum`."""
        value = self._value[name]
        if type(value) is not int or value < minimum:
            raise self._wrong(name, f"must be a whole number of at least {minimum}")
        return value

    def number(self, name: str) -> float:
        """Return a float."""
        value = self._value[name]
        if type(value) not in {int, float}:
            raise self._wrong(name, "must be a number")
        return float(value)

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._value[name]
        if not isinstance(value, str):
            raise self._wrong(name, "must be a string")
        return value

    def mapping(self, name: str) -> dict[str, Json]:
        """Return a JSON object as it is."""
        value = self._value[name]
        if not isinstance(value, dict):
            raise self._wrong(name, "must be an object")
        return value

    def integers(self, name: str) -> list[int]:
        """Return a list of whole numbers from 0 to 2**63 - 1."""
        value = self._value[name]
        if not isinstance(value, list) or not set(map(type, value)) <= {int}:
            raise self._wrong(name, "must be a list of whole numbers")
        if value and not (min(value) >= 0 and max(value) < 2**63):
            raise self._wrong(name, "must lie between 0 and 2**63 - 1")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of strings."""
        value = self._value[name]
        if not isinstance(value, list) or not set(map(type, value)) <= {str}:
            raise self._wrong(name, "must be a list of strings")
        return value

    def shapes(self, name: str) -> list[tuple[int, ...]]:
        """Return a list of shapes: tuples of whole numbers from 0."""
        value = self._value[name]
        if not isinstance(value, list) or not all(
            isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
            for shape in value
        ):
            raise self._wrong(name, "must be a list of shapes")
        return [tuple(shape) for shape in value]

    def nested(self, name: str, names: tuple[str, ...]) -> "Fields":
        """Return the object in field `name`."""
        return Fields(self._value[name], names, f"{self.where}: {name}")

    def _wrong(self, name: str, rule: str) -> DamagedError:
        return DamagedError(f"{self.where}: {name} = {str(self._value[name])[:80]}: {rule}")


def check_json(value: object, path: str) -> None:
    """Raise CheckpointError naming `path` when `value` would not come back from JSON as it is.

    Python's JSON turns tuples into lists and number keys into strings without a word; state must not change
    shape.
    """
    if value is None or type(value) in {bool, int, float, str}:
        return
    if type(value) is list:
        for index, item in enumerate(value):
            check_json(item, f"{path}[{index}]")
        return
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise CheckpointError(f"{path}: key {key!r} is {type(key).__name__}; JSON keys must be str")
            check_json(item, f"{path}.{key}")
        return
    raise CheckpointError(
        f"{path}: {type(value).__name__} cannot be saved; allowed: None, bool, int, float, str, list, dict"
    )
