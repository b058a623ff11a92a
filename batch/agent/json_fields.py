"""Frozen dataclasses to and from JSON, by their annotations, strictly. Pure; the standard library only.

Unknown fields are ignored, so that an agent and a controller may differ by a version; a missing field that has no
default, and a value of another type, are errors. Bytes travel as base64, enums as their value, keys as text.
"""

import base64
import binascii
import functools
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from batch.errors import BadRequestError

_T = TypeVar("_T")


def to_json(value: Any) -> Any:
    """Return `value` (dataclass, enum, bytes, tuple, mapping or plain) as what `json.dumps` takes."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is not a value of a message")


def from_json(kind: type[_T], raw: Any, where: str = "message") -> _T:
    """Return the `kind` that `raw` (from `json.loads`) says. Raises BadRequestError naming the place and the value."""
    if not isinstance(raw, Mapping):
        raise _wrong(where, raw, "an object")
    arguments: dict[str, Any] = {}
    for field, hint in _hints(kind):  # type: ignore[arg-type]  # mypy takes a type[T] for not hashable
        if field.name in raw:
            arguments[field.name] = _value(hint, raw[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise BadRequestError(f"{where}.{field.name} is missing: it is required in {kind.__name__}")
    return kind(**arguments)


@functools.cache
def _hints(kind: Hashable) -> tuple[tuple[Field[Any], Any], ...]:
    assert isinstance(kind, type)
    hints = get_type_hints(kind)
    return tuple((field, hints[field.name]) for field in fields(kind))


def _value(hint: Any, raw: Any, where: str) -> Any:
    if hint is Any:
        return raw
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _optional(hint, raw, where)
    if origin is tuple:
        return _tuple(get_args(hint), raw, where)
    if origin is not None:
        return _mapping(get_args(hint), raw, where)
    if isinstance(hint, type) and is_dataclass(hint):
        return from_json(hint, raw, where)
    return _scalar(hint, raw, where)


def _optional(hint: Any, raw: Any, where: str) -> Any:
    if raw is None:
        return None
    (inner,) = (each for each in get_args(hint) if each is not type(None))
    return _value(inner, raw, where)


def _tuple(hints: tuple[Any, ...], raw: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple):
        raise _wrong(where, raw, "a list")
    if len(hints) == 2 and hints[1] is ...:
        hints = (hints[0],) * len(raw)
    if len(hints) != len(raw):
        raise _wrong(where, raw, f"a list of {len(hints)}")
    return tuple(_value(hint, each, f"{where}[{at}]") for at, (hint, each) in enumerate(zip(hints, raw, strict=True)))


def _mapping(hints: tuple[Any, ...], raw: Any, where: str) -> dict[Any, Any]:
    if not isinstance(raw, Mapping):
        raise _wrong(where, raw, "an object")
    return {_key(hints[0], key, where): _value(hints[1], inner, f"{where}.{key}") for key, inner in raw.items()}


def _key(hint: Any, key: Any, where: str) -> Any:
    if hint is int:
        try:
            return int(key)
        except ValueError:
            raise _wrong(where, key, "numbers as keys") from None
    return key


def _scalar(hint: Any, raw: Any, where: str) -> Any:
    if hint is bytes:
        return _bytes(raw, where)
    if issubclass(hint, Enum):
        try:
            return hint(raw)
        except ValueError:
            raise _wrong(where, raw, f"one of {', '.join(str(each.value) for each in hint)}") from None
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    # bool is an int in Python, and not in a message.
    if not isinstance(raw, hint) or (isinstance(raw, bool) and hint is not bool):
        raise _wrong(where, raw, f"{hint.__name__}")
    return raw


def _bytes(raw: Any, where: str) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _wrong(where, raw, "base64 text") from None


def _wrong(where: str, raw: Any, allowed: str) -> BadRequestError:
    return BadRequestError(f"{where} = {str(raw)[:80]!r}: must be {allowed}")
