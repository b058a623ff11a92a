"""From plain documents to frozen dataclasses, strictly, driven by the type hints.

Everything that is wrong is found in one go and told with its path, its value, what is allowed, and the file it
stands in. Nothing is guessed: "3" is no number, 3.0 is no whole number, true is no number; only a whole number
is taken where a number is asked for, because YAML writes 1.0 as 1.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin

from configs.allowed import allowed_values, join_words
from configs.errors import Problem, SchemaError
from configs.hints import (
    TARGET_KEY,
    Field,
    alternatives,
    fields_of,
    is_optional,
    is_section,
    kinds_of,
    known_paths,
    section_for,
)
from configs.redact import MASK, is_credential, redacted
from recipes.config import TargetConfig

Section = TypeVar("Section")
SourceOf = Callable[[str], str | None]

_INVALID: Any = object()
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# Hydra gives these a meaning when it instantiates; we do not instantiate by Hydra, so they would become arguments.
_HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")


def from_document(
    section: type[Section], document: Mapping[str, Any], source_of: SourceOf = lambda path: None
) -> Section:
    """Return `document` as `section`. Raises SchemaError with every problem in it.

    `source_of(path)` says where the value at a dotted path was given: a file, or the command line.
    """
    reader = _Reader(section, source_of)
    value = reader.read(section, document, "", {})
    if reader.problems:
        raise SchemaError(reader.problems)
    assert isinstance(value, section)
    return value


def show_value(value: Any, path: str = "") -> str:
    """Return the value at `path` as one would write it, cut to a readable length, credentials masked."""
    masked = MASK if is_credential(path) else redacted(value)
    text = json.dumps(masked, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


class _Reader:
    """Reads one document and collects what is wrong with it."""

    def __init__(self, root: type, source_of: SourceOf) -> None:
        self.root = root
        self.source_of = source_of
        self.problems: list[Problem] = []

    def read(self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any]) -> Any:
        """Return `value` as `hint` asks, or _INVALID after noting a problem."""
        if value is None and is_optional(hint):
            return None
        if isinstance(value, Mapping):
            return self._read_mapping(hint, value, path, metadata)
        members = alternatives(hint)
        if len(members) == 1 and get_origin(members[0]) is tuple:
            return self._read_list(members[0], value, path, metadata)
        if any(_fits(member, value) and _in_bounds(value, metadata) for member in members):
            return float(value) if float in members and not isinstance(value, str) else value
        return self._refuse_value(hint, value, path, metadata)

    def _read_mapping(self, hint: Any, value: Mapping[str, Any], path: str, metadata: Mapping[str, Any]) -> Any:
        members = alternatives(hint)
        if any(get_origin(member) is Mapping for member in members):
            return self._read_plain(value, path)
        if TARGET_KEY in value and TargetConfig in members:
            return self._read_target(hint, value, path)
        section = section_for(hint, value)
        if section is not None:
            return self._read_section(section, value, path)
        if any(is_section(member) for member in members):
            return self._refuse_kind(hint, value, path)
        return self._refuse_value(hint, value, path, metadata)

    def _read_section(self, section: type, document: Mapping[str, Any], path: str) -> Any:
        prefix = f"{path}." if path else ""
        known = {field.name: field for field in fields_of(section)}
        for key in document:
            if key not in known:
                self._refuse_key(key, list(known), prefix)
        values = {
            name: self._read_field(field, document, prefix)
            for name, field in known.items()
            if name in document or field.required
        }
        if any(value is _INVALID for value in values.values()):
            return _INVALID
        try:
            return section(**values)
        except ValueError as error:
            self._note(path, str(error))
            return _INVALID

    def _read_field(self, field: Field, document: Mapping[str, Any], prefix: str) -> Any:
        path = f"{prefix}{field.name}"
        if field.name in document:
            return self.read(field.hint, document[field.name], path, field.metadata)
        self._note(path, f"is missing: must be {allowed_values(field.hint, field.metadata)}")
        return _INVALID

    def _read_target(self, hint: Any, document: Mapping[str, Any], path: str) -> Any:
        target = document[TARGET_KEY]
        noted = len(self.problems)
        if not isinstance(target, str) or not _DOTTED_NAME.fullmatch(target):
            self._note(f"{path}.{TARGET_KEY}", "must be a dotted path such as my_package.my_module.MyClass", target)
        if document.get("kind") in list(kinds_of(hint)):
            advice = f"choose {path}=custom, which has no kind, or drop `{TARGET_KEY}`"
            self._note(f"{path}.kind", f"stands beside {path}.{TARGET_KEY}", document["kind"], advice)
        for key in _HYDRA_KEYS:
            if key in document:
                self._note(f"{path}.{key}", "is not supported: the callable is called with the other keys as they are")
        arguments = {key: item for key, item in document.items() if key != TARGET_KEY}
        plain = self._read_plain(arguments, path)
        return _INVALID if len(self.problems) > noted else TargetConfig(target=target, arguments=plain)

    def _read_list(self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any]) -> Any:
        items = get_args(hint)
        if not isinstance(value, (list, tuple)):
            advice = f"write {path}=[{value}]" if isinstance(value, (str, int, float)) else None
            return self._refuse_value(hint, value, path, metadata, advice)
        if len(value) < metadata.get("min_length", 0):
            return self._refuse_value(hint, value, path, metadata, f"give at least {metadata['min_length']}")
        if items[-1] is Ellipsis:
            items = (items[0],) * len(value)
        elif len(items) != len(value):
            return self._refuse_value(hint, value, path, metadata)
        read = [
            self.read(item, entry, f"{path}[{index}]", metadata)
            for index, (item, entry) in enumerate(zip(items, value, strict=True))
        ]
        return _INVALID if any(item is _INVALID for item in read) else tuple(read)

    def _read_plain(self, value: Any, path: str) -> Any:
        """Return JSON values as they are, copied; used where we do not know the meaning."""
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    self._note(f"{path}.{key}", "the key must be text: put it in quotes")
            return {str(key): self._read_plain(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._read_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if value is None or _is_scalar(value):
            return value
        self._note(path, "must be text, a finite number, true, false, null, a list or a mapping", str(value))
        return _INVALID

    def _refuse_key(self, key: Any, siblings: list[str], prefix: str) -> None:
        self._note(f"{prefix}{key}", "is not a key", advice=self._nearest(str(key), siblings, prefix))

    def _nearest(self, key: str, siblings: list[str], prefix: str) -> str:
        if key == TARGET_KEY:
            return f"`{TARGET_KEY}` is understood in model, data and recipe.loss"
        near = get_close_matches(key, siblings, n=1)
        if near:
            return f"did you mean `{prefix}{near[0]}`?"
        elsewhere = [path for path in known_paths(self.root) if path.rpartition(".")[2] == key]
        if f"{prefix}{key}" in elsewhere:
            return f"it belongs to another kind of `{prefix.removesuffix('.')}`; known here are {', '.join(siblings)}"
        if elsewhere:
            return f"did you mean {join_words([f'`{path}`' for path in dict.fromkeys(elsewhere)])}?"
        return f"known here are {', '.join(siblings)}"

    def _refuse_kind(self, hint: Any, value: Mapping[str, Any], path: str) -> Any:
        kinds = [str(kind) for kind in kinds_of(hint)]
        words = join_words(kinds) if kinds else "none"
        brought = f", or `{TARGET_KEY}` brings your own" if TargetConfig in alternatives(hint) else ""
        if "kind" not in value:
            self._note(f"{path}.kind", f"is missing: must be {words}{brought}")
            return _INVALID
        near = get_close_matches(str(value["kind"]), kinds, n=1)
        advice = f"did you mean {near[0]}?" if near else None
        self._note(f"{path}.kind", f"must be {words}{brought}", value["kind"], advice)
        return _INVALID

    def _refuse_value(
        self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any], advice: str | None = None
    ) -> Any:
        choices = [str(choice) for member in alternatives(hint) for choice in _choices(member)]
        near = get_close_matches(str(value), choices, n=1) if isinstance(value, str) else []
        if near:
            advice = f"did you mean {near[0]}?"
        elif isinstance(value, str) and _is_number_word(value) and not choices:
            advice = "it is text now: drop the quotes"
        self._note(path, f"must be {allowed_values(hint, metadata)}", value, advice)
        return _INVALID

    def _note(self, path: str, message: str, value: Any = _INVALID, advice: str | None = None) -> None:
        shown = None if value is _INVALID else show_value(value, path)
        self.problems.append(Problem(path, message, self.source_of(path), shown, advice))


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        # By type as well: True == 1 in Python, and is not 1 here.
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return _is_number(value)
    return hint in {bool, int, str} and type(value) is hint


def _in_bounds(value: Any, metadata: Mapping[str, Any]) -> bool:
    if type(value) not in {int, float}:
        return True
    least, most = metadata.get("min"), metadata.get("max")
    return (least is None or value >= least) and (most is None or value <= most)


def _is_scalar(value: Any) -> bool:
    return type(value) in {bool, int, str} or _is_number(value)


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= sys.float_info.max
    return type(value) is float and math.isfinite(value)


def _is_number_word(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE) is not None
