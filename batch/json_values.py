"""Frozen dataclasses as JSON values, and strictly back. Pure.

A dataclass becomes an object of the fields that are not at their default, an enum its value, a tuple a list, bytes
base64. The types of the fields say how to read them, so that nothing but what is declared is ever made of what was
read. The functions for a type are put together once, when it is first met: jobs pass here at thousands a second.
"""

import base64
import dataclasses
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from batch.errors import BadRequestError

T = TypeVar("T")
_Write = Callable[[Any], Any]
_Read = Callable[[Any, str], Any]
_ABSENT = object()
_MAX_FLOAT = int(sys.float_info.max)
MAX_INTEGER = 2**63 - 1
"""The largest whole number that the database keeps."""


def to_json(value: Any) -> dict[str, Any]:
    """Return a dataclass instance as an object for `json.dumps`."""
    return typing.cast("dict[str, Any]", _writer(typing.cast("Any", type(value)))(value))


def from_json(cls: type[T], document: Any, where: str, *, lenient: bool = False) -> T:
    """Return the instance of dataclass `cls` that `document` describes.

    Raises BadRequestError, whose text begins with `where` and the path in the document, for fields that are unknown,
    missing or of another type. With `lenient`, unknown fields are left out: between programs whose versions may differ.
    """
    return typing.cast("T", _reader(typing.cast("Any", cls), lenient)(document, where))


@cache
def _writer(kind: Any) -> _Write:
    if dataclasses.is_dataclass(kind):
        return _dataclass_writer(typing.cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.value
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode("ascii")
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return _optional_writer(_writer(_beside_none(arguments)))
    if origin is tuple and arguments[1:] == (...,):
        return _list_writer(_writer(arguments[0]))
    if origin is Mapping and arguments[0] is not str:
        return _mapping_writer(_writer(arguments[0]))
    return lambda value: value


def _optional_writer(write: _Write) -> _Write:
    return lambda value: None if value is None else write(value)


def _list_writer(write: _Write) -> _Write:
    return lambda value: [write(item) for item in value]


def _mapping_writer(write_key: _Write) -> _Write:
    return lambda value: {write_key(key): item for key, item in value.items()}


def _dataclass_writer(cls: type[Any]) -> _Write:
    hints = typing.get_type_hints(cls)
    plan = [(field.name, _default(field), _writer(hints[field.name])) for field in dataclasses.fields(cls)]

    def write(value: Any) -> dict[str, Any]:
        document = {}
        for name, default, write_field in plan:
            item = getattr(value, name)
            if item is not default and item != default:
                document[name] = write_field(item)
        return document

    return write


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else _ABSENT


def _beside_none(arguments: tuple[Any, ...]) -> Any:
    (kind,) = (argument for argument in arguments if argument is not type(None))
    return kind


@cache
def _reader(kind: Any, lenient: bool) -> _Read:
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast("type[Any]", kind), lenient)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_reader(kind)
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        return _optional_reader(_reader(_beside_none(arguments), lenient))
    if origin is tuple:
        return _tuple_reader(arguments, lenient)
    if origin is Mapping:
        read_key = _read_number if arguments[0] is int else _reader(arguments[0], lenient)
        return _mapping_reader(read_key, _reader(arguments[1], lenient))
    if kind is bytes:
        return _read_bytes
    if kind is Any:
        return lambda value, where: value
    return _scalar_reader(kind)


def _read_bytes(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise BadRequestError(f"{where} = {_short(value)}: must be base64 text") from None


def _read_number(key: Any, where: str) -> int:
    """Return the number that a key of an object stands for: JSON has only text there."""
    try:
        return int(key)
    except ValueError:
        raise BadRequestError(f"{where} = {_short(key)}: must have numbers as keys") from None


def _scalar_reader(kind: type[Any]) -> _Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is kind:
            _check_range(value, where)
            return value
        if kind is float and type(value) is int and abs(value) <= _MAX_FLOAT:
            return float(value)
        raise BadRequestError(f"{where} = {_short(value)}: must be of type {kind.__name__}")

    return read


def _check_range(value: Any, where: str) -> None:
    """Raise BadRequestError for numbers that no database, clock or sum here could hold."""
    if type(value) is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise BadRequestError(f"{where} = {_short(value)}: must be from {-MAX_INTEGER} to {MAX_INTEGER}")
    if type(value) is float and not math.isfinite(value):
        raise BadRequestError(f"{where} = {value}: must be finite")


def _enum_reader(kind: type[Enum]) -> _Read:
    members = {member.value: member for member in kind}

    def read(value: Any, where: str) -> Any:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise BadRequestError(f"{where} = {_short(value)}: must be one of {', '.join(members)}")
        return member

    return read


def _optional_reader(read_some: _Read) -> _Read:
    return lambda value, where: None if value is None else read_some(value, where)


def _tuple_reader(arguments: tuple[Any, ...], lenient: bool) -> _Read:
    repeated = _reader(arguments[0], lenient) if arguments[1:] == (...,) else None
    readers = [_reader(argument, lenient) for argument in arguments] if repeated is None else []

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise BadRequestError(f"{where} = {_short(value)}: must be a list")
        if repeated is not None:
            return tuple([repeated(item, f"{where}[{index}]") for index, item in enumerate(value)])
        if len(value) != len(readers):
            raise BadRequestError(f"{where} = {_short(value)}: must have {len(readers)} items")
        return tuple([read_item(item, where) for read_item, item in zip(readers, value, strict=True)])

    return read


def _mapping_reader(read_key: _Read, read_value: _Read) -> _Read:
    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise BadRequestError(f"{where} = {_short(value)}: must be an object")
        return {read_key(key, where): read_value(item, f"{where}.{key}") for key, item in value.items()}

    return read


def _dataclass_reader(cls: type[Any], lenient: bool) -> _Read:
    hints = typing.get_type_hints(cls)
    readers = {field.name: _reader(hints[field.name], lenient) for field in dataclasses.fields(cls)}
    required = {field.name for field in dataclasses.fields(cls) if _default(field) is _ABSENT}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise BadRequestError(f"{where} = {_short(value)}: must be an object")
        if not required <= value.keys():
            raise BadRequestError(f"{where}: lacks {', '.join(sorted(required - value.keys()))}")
        if lenient:
            value = {name: item for name, item in value.items() if name in readers}
        if not value.keys() <= readers.keys():
            unknown = ", ".join(sorted(value.keys() - readers.keys()))
            raise BadRequestError(f"{where}: does not know {unknown}; allowed are {', '.join(sorted(readers))}")
        return cls(**{name: readers[name](item, f"{where}.{name}") for name, item in value.items()})

    return read


def _short(value: Any) -> str:
    text = repr(value) if type(value) is not int or abs(value) < 10**80 else "a number of more than 80 digits"
    return text if len(text) <= 80 else text[:77] + "..."
