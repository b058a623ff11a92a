"""A user's own classes and functions, by dotted path. Called inside workers only: importing runs the user's code."""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from recipes.config import TargetConfig
from recipes.errors import TargetMissingError, TargetRaisedError, TargetTypeError

T = TypeVar("T")


def load_target(config: TargetConfig, expected: type[T], where: str, **added: object) -> T:
    """Import the target, call it with its arguments, and return what it made.

    Args:
        config: dotted path and keyword arguments.
        expected: the type (or runtime-checkable protocol) that must come out.
        where: the configuration section, for error messages: `model`, `data`.
        added: keyword arguments of ours; those in `config` win.

    Raises:
        TargetMissingError: no such module, or nothing of that name in it.
        TargetRaisedError: importing or calling it raised; the cause is chained.
        TargetTypeError: it is not callable, or made something else.
    """
    label = f"{where}._target_ = {config.target}"
    make = _callable(config, label)
    try:
        made = make(**{**added, **config.arguments})
    except Exception as error:
        given = ", ".join(sorted({**added, **config.arguments})) or "no arguments"
        raise TargetRaisedError(f"{label} raised {type(error).__name__}: {error} (called with {given})") from error
    if not isinstance(made, expected):
        raise TargetTypeError(f"{label} made a {type(made).__name__}: must be a {expected.__name__}")
    return made


def load_function(config: TargetConfig, where: str) -> Callable[..., Any]:
    """Import a function, or build an object that can be called.

    A class is built with the arguments; a function gets them as keyword arguments at each call.
    Raises as `load_target` does.
    """
    label = f"{where}._target_ = {config.target}"
    found = _callable(config, label)
    if not inspect.isclass(found):
        return partial(found, **config.arguments) if config.arguments else found
    built = load_target(config, object, where)
    if not callable(built):
        raise TargetTypeError(f"{label} made a {type(built).__name__} that cannot be called: give it __call__")
    return built


def _callable(config: TargetConfig, label: str) -> Callable[..., Any]:
    module_path, _, name = config.target.rpartition(".")
    if not module_path:
        raise TargetMissingError(f"{label}: must be a dotted path such as my_package.my_module.MyClass")
    found = _import(module_path, label)
    if not hasattr(found, name):
        raise TargetMissingError(f"{label}: module {module_path} has nothing called {name}; it has {_public(found)}")
    target = getattr(found, name)
    if not callable(target):
        raise TargetTypeError(f"{label} is a {type(target).__name__}: must be a class or a function")
    return target  # type: ignore[no-any-return] # a callable of any signature


def _import(module_path: str, label: str) -> Any:
    try:
        return importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        absent = error.name or module_path
        if module_path == absent or module_path.startswith(f"{absent}."):
            raise TargetMissingError(
                f"{label}: no module named {absent}; is its folder listed in cluster.code_folders?"
            ) from error
        raise TargetRaisedError(f"{label}: importing {module_path} needs {absent}, which is not installed") from error
    except Exception as error:
        raise TargetRaisedError(f"{label}: importing {module_path} raised {type(error).__name__}: {error}") from error


def _public(module: Any) -> str:
    names = [name for name in vars(module) if not name.startswith("_")]
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "no public names"
