"""Each package's errors: the tree drawn at the top of errors.py is the class hierarchy, and every error pickles."""

import importlib
import inspect
import pickle
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from fixtures_sources import PACKAGES, REPOSITORY

DRAWN_LINE = re.compile(r"^(?P<branches>(?:│   |    )*(?:├── |└── )?)(?P<name>[A-Z]\w+)(?:\s|$)")
BRANCH_WIDTH = 4

with_errors = pytest.mark.parametrize(
    "package", [package for package in PACKAGES if (REPOSITORY / package / "errors.py").exists()]
)


def errors_of(package: str) -> ModuleType:
    return importlib.import_module(f"{package}.errors")


def error_classes(module: ModuleType) -> Iterator[type[Exception]]:
    for _, value in inspect.getmembers(module, inspect.isclass):
        if value.__module__ == module.__name__ and issubclass(value, Exception):
            yield value


def drawn_parents(docstring: str) -> dict[str, str | None]:
    """Return the parent of each name in a drawn tree; None for the root."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in docstring.splitlines()[1:]:
        match = DRAWN_LINE.match(line)
        if match is None or (not match["branches"] and parents):
            continue
        depth = len(match["branches"]) // BRANCH_WIDTH
        path[depth:] = [match["name"]]
        parents[match["name"]] = path[depth - 1] if depth else None
    return parents


def sample(cls: type[Exception]) -> Exception:
    """Make an error with a text for each argument that it insists on, and at least a message."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except ValueError:  # classes that leave the constructor to Exception have no signature
        return cls("what went wrong")
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = [f"the {p.name}" for p in required if p.kind is not p.KEYWORD_ONLY]
    keywords = {p.name: f"the {p.name}" for p in required if p.kind is p.KEYWORD_ONLY}
    return cls(*(positional or ["what went wrong"]), **keywords)


@with_errors
def test_drawn_tree_is_the_class_hierarchy(package: str) -> None:
    module = errors_of(package)
    ours = {cls.__name__ for cls in error_classes(module)}
    actual = {
        cls.__name__: next((base.__name__ for base in cls.__bases__ if base.__name__ in ours), None)
        for cls in error_classes(module)
    }
    assert drawn_parents(module.__doc__ or "") == actual, f"redraw the tree at the top of {package}/errors.py"


@with_errors
def test_one_root(package: str) -> None:
    roots = [cls for cls in error_classes(errors_of(package)) if cls.__bases__ == (Exception,)]
    assert len(roots) == 1, f"errors of {package} need one base class, so that a caller can catch them all"


@with_errors
def test_every_error_pickles(package: str) -> None:
    for cls in error_classes(errors_of(package)):
        error = sample(cls)
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes; errors cross process borders this way
        assert type(copy) is cls
        assert copy.args == error.args
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_a_wrong_drawing_is_noticed() -> None:
    drawing = "Errors.\n\nRoot\n├── First      text\n│   └── Second\n└── Third\n"
    assert drawn_parents(drawing) == {"Root": None, "First": "Root", "Second": "First", "Third": "Root"}
