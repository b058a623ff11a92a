"""Files of one idea, functions that fit a screen, names that say what they are."""

import ast
import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_sources import PACKAGES, REPOSITORY, python_files

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 450
VAGUE_WORDS = {"util", "utils", "common", "helper", "helpers", "misc", "manager"}
UNITS = ("_s", "_bytes", "_steps", "_tokens", "_samples")
MEASURES = re.compile(
    r"(^|_)(timeout|interval|delay|period|duration|deadline|grace|age|ttl|backoff|size|capacity)(_|$)"
)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_fit_a_screen() -> None:
    long = [
        f"{path}:{function.lineno} {function.name} has {lines} lines"
        for path in python_files()
        for function in functions(path)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_files_hold_one_idea() -> None:
    long = [
        f"{path} has {lines} lines"
        for path in python_files()
        if (lines := len((REPOSITORY / path).read_text().splitlines())) > MAX_FILE_LINES
    ]
    assert long == []


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    own_names = {*PACKAGES, *(path.stem for path in python_files() if not path.stem.startswith("__"))}
    assert sorted(own_names & sys.stdlib_module_names) == []


def test_names_of_modules_say_what_is_in_them() -> None:
    vague = [str(path) for path in python_files() if VAGUE_WORDS & {*path.stem.split("_"), *path.parent.parts}]
    assert vague == []


def config_fields() -> Iterator[tuple[str, "dataclasses.Field[object]"]]:
    for package in PACKAGES:
        if not (REPOSITORY / package / "config.py").exists():
            continue
        module = importlib.import_module(f"{package}.config")
        for cls in vars(module).values():
            if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__:
                yield from ((f"{package}.{cls.__name__}", field) for field in dataclasses.fields(cls))


def lacks_unit(name: str, type_name: str, help_text: str) -> bool:
    """Say whether a field counts seconds or bytes without saying so in its name."""
    if not re.search(r"\b(int|float|timedelta)\b", type_name) or "timedelta" in type_name:
        return False
    if re.search(r"\bseconds\b", help_text):
        return not name.endswith("_s")
    if re.search(r"\bbytes\b", help_text):
        return not name.endswith("_bytes")
    return MEASURES.search(name) is not None and not name.endswith(UNITS)


def test_durations_and_sizes_in_the_configuration_carry_their_unit() -> None:
    nameless = [
        f"{owner}.{field.name}"
        for owner, field in config_fields()
        if lacks_unit(
            field.name,
            field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type)),
            str(field.metadata.get("help", "")),
        )
    ]
    assert nameless == []


@pytest.mark.parametrize(
    ("name", "type_name", "help_text", "lacking"),
    [
        ("timeout", "float", "", True),
        ("timeout_s", "float", "", False),
        ("connect_timeout", "timedelta", "", False),
        ("segment_size", "int | None", "", True),
        ("segment_bytes", "int", "", False),
        ("patience", "float", "seconds to wait", True),
        ("bound", "int", "in bytes", True),
        ("image_size_name", "str", "", False),
        ("percentage", "float", "", False),
    ],
)
def test_a_missing_unit_is_noticed(name: str, type_name: str, help_text: str, *, lacking: bool) -> None:
    assert lacks_unit(name, type_name, help_text) is lacking
