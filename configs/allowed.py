"""What a key allows, in words, from its type hint and metadata: one wording for every error and for the help."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from configs.hints import TARGET_KEY, alternatives, fields_of, is_optional, is_section, kinds_of
from recipes.config import TargetConfig

_SINGULAR = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_PLURAL = {bool: "true or false", int: "whole numbers", float: "numbers", str: "text"}


def allowed_values(hint: Any, metadata: Mapping[str, Any]) -> str:
    """Return what may stand there, to follow the words `must be`."""
    words = [_one(member, metadata) for member in alternatives(hint) if member not in kinds_of(hint).values()]
    kinds = kinds_of(hint)
    if kinds:
        words.insert(0, _section_words(hint, kinds))
    if is_optional(hint):
        words.append("null")
    return join_words(words)


def join_words(words: Sequence[str]) -> str:
    """Return `a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _one(hint: Any, metadata: Mapping[str, Any]) -> str:
    if hint is TargetConfig:
        return f"a section with `{TARGET_KEY}`"
    if is_section(hint):
        return "a section with " + ", ".join(field.name for field in fields_of(hint))
    origin = get_origin(hint)
    if origin is Literal:
        return join_words([str(value) for value in get_args(hint)])
    if origin is tuple:
        return _list_words(get_args(hint))
    if origin is not None:
        return "a mapping of keys to values"
    return _SINGULAR[hint] + _bounds(metadata)


def _section_words(hint: Any, kinds: Mapping[str, type]) -> str:
    if len(alternatives(hint)) == 1:
        return _one(alternatives(hint)[0], {})
    return f"a section with `kind` {join_words(list(kinds))}"


def _list_words(items: tuple[Any, ...]) -> str:
    if len(items) == 2 and items[1] is Ellipsis:
        return f"a list of {_PLURAL.get(items[0], 'values')}"
    return f"a list of {len(items)} {_PLURAL.get(items[0], 'values')}"


def _bounds(metadata: Mapping[str, Any]) -> str:
    least, most = metadata.get("min"), metadata.get("max")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"


def literal_choices(hint: Any) -> tuple[str, ...]:
    """Return the values that can be listed: of literals, and true and false."""
    choices: list[str] = []
    for member in alternatives(hint):
        if get_origin(member) is Literal:
            choices += [str(value) for value in get_args(member)]
        elif member is bool:
            choices += ["true", "false"]
    return tuple(choices)
