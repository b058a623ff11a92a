"""Questions about the type hints of configuration dataclasses: the schema is the dataclasses, nothing else.

Understood are bool, int, float, str, Literal, `tuple[X, ...]`, `tuple[X, Y]`, `Mapping[str, Any]`, dataclasses,
`X | None`, and unions of dataclasses that are told apart by their `kind`, or by `_target_` for TargetConfig.
"""

import dataclasses
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recipes.config import TargetConfig

TARGET_KEY = "_target_"


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section: its name, its type hint, its metadata (`min`, `max`, `help`) and its default."""

    name: str
    hint: Any
    metadata: Mapping[str, Any]
    required: bool
    default: Any


@cache
def fields_of(section: type) -> tuple[Field, ...]:
    """Return the keys of the dataclass `section` in order, hints resolved."""
    hints = get_type_hints(section)
    return tuple(
        Field(entry.name, hints[entry.name], entry.metadata, *_default_of(entry))
        for entry in dataclasses.fields(section)
    )


def is_section(hint: Any) -> bool:
    """Return whether `hint` is a dataclass whose keys we know: any but TargetConfig."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint is not TargetConfig


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union without None; of anything else, the hint itself."""
    if get_origin(hint) in {Union, types.UnionType}:
        return tuple(member for member in get_args(hint) if member is not types.NoneType)
    return (hint,)


def is_optional(hint: Any) -> bool:
    """Return whether None is allowed."""
    return hint is types.NoneType or types.NoneType in get_args(hint)


def kinds_of(hint: Any) -> dict[Any, type]:
    """Return the sections among the alternatives of `hint` by their `kind`."""
    found = {}
    for section in alternatives(hint):
        if is_section(section):
            for field in fields_of(section):
                if field.name == "kind" and get_origin(field.hint) is Literal:
                    found.update(dict.fromkeys(get_args(field.hint), section))
    return found


def section_for(hint: Any, document: Mapping[str, Any]) -> type | None:
    """Return the section that `document` is meant as, or None when nobody can tell or a `_target_` brings it."""
    if TARGET_KEY in document and TargetConfig in alternatives(hint):
        return None
    sections: list[type] = [section for section in alternatives(hint) if is_section(section)]
    if len(sections) == 1:
        return sections[0]
    kind = document.get("kind")
    return kinds_of(hint).get(kind) if isinstance(kind, str) else None


def known_paths(section: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every key below `section`, over all kinds of its parts."""
    for field in fields_of(section):
        path = f"{prefix}{field.name}"
        yield path
        for part in alternatives(field.hint):
            if is_section(part):
                yield from known_paths(part, f"{path}.")


def field_at(section: type, path: str) -> Field | None:
    """Return the key at the dotted `path` below `section`, the first kind that has it; None if there is none."""
    name, _, rest = path.partition(".")
    for field in fields_of(section):
        if field.name == name:
            if not rest:
                return field
            parts = (field_at(part, rest) for part in alternatives(field.hint) if is_section(part))
            return next((found for found in parts if found is not None), None)
    return None


def _default_of(entry: "dataclasses.Field[Any]") -> tuple[bool, Any]:
    if entry.default is not dataclasses.MISSING:
        return False, entry.default
    if entry.default_factory is not dataclasses.MISSING:
        return False, entry.default_factory()
    return True, None
