"""A plain command line goes straight to the function that the command is: `ostinato ls --team vision -o json`.

Typer makes a pydantic validator for each parameter, and importing pydantic alone takes longer than a call of `ls` may.
So the annotations of the function, which stay the one definition of the command, are read here first. Whatever is not
entirely plain is left to Typer: help, completion, groups, values with rules, settings from the environment, and every
mistake, so that there is one place that words errors.
"""

import inspect
import os
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from scripts.cli.commands import COMMANDS, load

Call = Callable[[], int]


class _NotPlain(Exception):  # noqa: N818 - no error: it says who parses
    """Typer must look at this line."""


@dataclass(slots=True)
class _Parameter:
    """One parameter of a command: `kind` is the type of one value."""

    name: str
    kind: Any
    info: Any
    is_list: bool
    is_required: bool
    options: tuple[str, ...] = ()
    values: list[Any] = field(default_factory=list)


def plain_call(words: Sequence[str]) -> Call | None:
    """Return what to call for a plain command line, None when Typer must parse it. Calls nothing."""
    if not words or words[0] not in COMMANDS or any(key.startswith("_OSTINATO") for key in os.environ):
        return None
    function = load(words[0])
    if not inspect.isfunction(function):
        return None
    try:
        arguments = _arguments(function, words[1:])
    except _NotPlain:
        return None
    return lambda: int(function(**arguments))


def _arguments(function: Callable[..., int], words: Sequence[str]) -> dict[str, Any]:
    parameters = list(_parameters(function))
    options = {option: each for each in parameters for option in each.options}
    positional = [each for each in parameters if isinstance(each.info, ArgumentInfo)]
    places: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            places.extend(rest)
        elif word.startswith("-") and word != "-":
            _take_option(word, rest, options)
        else:
            places.append(word)
    _take_places(places, positional)
    return {each.name: _value(each) for each in parameters if each.values}


def _take_option(word: str, rest: Iterator[str], options: dict[str, _Parameter]) -> None:
    name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    each = options.get(name)
    if each is None:
        raise _NotPlain
    if each.kind is bool:
        if equals:
            raise _NotPlain
        each.values.append(True)
        return
    if not equals:
        value = next(rest, "-")
        if value.startswith("-"):
            raise _NotPlain
    each.values.append(_read(each, value))


def _take_places(places: list[str], positional: list[_Parameter]) -> None:
    for each in positional:
        count = len(places) if each.is_list else 1
        each.values.extend(_read(each, word) for word in places[:count])
        del places[:count]
        if each.is_required and not each.values:
            raise _NotPlain
    if places:
        raise _NotPlain


def _value(each: _Parameter) -> Any:
    return each.values if each.is_list else each.values[-1]


def _parameters(function: Callable[..., int]) -> Iterator[_Parameter]:
    for name, found in inspect.signature(function).parameters.items():
        if get_origin(found.annotation) is not Annotated:
            raise _NotPlain
        hint, info = get_args(found.annotation)
        if not isinstance(info, OptionInfo | ArgumentInfo) or info.callback or info.parser:
            raise _NotPlain
        if info.envvar and any(key in os.environ for key in _texts(info.envvar)):
            raise _NotPlain
        kind, is_list = _kind_of(hint)
        required = found.default is inspect.Parameter.empty
        if required and isinstance(info, OptionInfo):
            raise _NotPlain
        yield _Parameter(name, kind, info, is_list, required, _options_of(name, info))


def _kind_of(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is list:
        return get_args(hint)[0], True
    return hint, False


def _options_of(name: str, info: Any) -> tuple[str, ...]:
    if isinstance(info, ArgumentInfo):
        return ()
    # With Annotated, Typer has the first of the given names as `default`.
    given = [*_texts(info.default), *(info.param_decls or ())]
    return tuple(given) or (f"--{name.replace('_', '-')}",)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []


def _read(each: _Parameter, word: str) -> Any:
    if each.info.min is not None or each.info.max is not None:
        raise _NotPlain
    if each.kind is str:
        return word
    if each.kind is Path and not (each.info.exists or each.info.resolve_path):
        return Path(word)
    if each.kind is int and word.isascii() and word.isdigit():
        return int(word)
    if isinstance(each.kind, type) and issubclass(each.kind, Enum):
        for member in each.kind:
            if member.value == word:
                return member
    raise _NotPlain
