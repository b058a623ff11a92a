"""Between dataclasses and documents (plain dictionaries of JSON values)."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from configs.hints import TARGET_KEY, fields_of, section_for
from recipes.config import TargetConfig

Document = dict[str, Any]


def to_document(value: Any) -> Any:
    """Return a section, or any value in one, as JSON values. `configs.convert.from_document` is the exact inverse."""
    if isinstance(value, TargetConfig):
        return {TARGET_KEY: value.target, **to_document(value.arguments)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_document(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_document(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_document(item) for item in value]
    return value


def with_defaults(section: type, document: Mapping[str, Any]) -> Document:
    """Return `document` with the defaults of `section` wherever it says nothing.

    Lenient: what does not fit the section is passed on as it is, for the conversion to complain about.
    """
    filled = dict(document)
    for field in fields_of(section):
        if field.name not in filled:
            if not field.required:
                filled[field.name] = to_document(field.default)
        elif isinstance(filled[field.name], Mapping):
            part = section_for(field.hint, filled[field.name])
            if part is not None:
                filled[field.name] = with_defaults(part, filled[field.name])
    return filled


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its dotted path. An empty mapping is a leaf, and so is a list."""
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value
