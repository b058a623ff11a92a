"""What the command line itself refuses, and how every error becomes one message and one exit code."""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from checkpoint.errors import (
    ArenaError,
    CheckpointError,
    KeeperError,
    ObjectMissing,
    StoreError,
)
from configs.errors import ConfigError
from recipes.errors import (
    CombinationError,
    MissingShardError,
    NoCatalogueError,
    PackagesError,
    RecipeError,
    RecordCacheError,
    UnknownChoiceError,
    UnreachableError,
)
from scripts.cli.exit_codes import ExitCode
from scripts.origin import ForeignPackageError
from trainer.errors import BatchError, ClusterError, DeviceError, RunFolderError, TrainerError


class CommandError(Exception):
    """The command line asks for something that cannot be meant."""


class NotFoundError(Exception):
    """No such run or checkpoint."""


_EXIT_CODES: tuple[tuple[tuple[type[Exception], ...], ExitCode], ...] = (
    ((ConfigError, CommandError, BatchError, UnknownChoiceError, CombinationError), ExitCode.BAD_INPUT),
    ((NotFoundError, ObjectMissing, NoCatalogueError, MissingShardError), ExitCode.NOT_FOUND),
    ((StoreError, ArenaError, KeeperError), ExitCode.ENVIRONMENT),
    ((ClusterError, DeviceError, RunFolderError, ForeignPackageError), ExitCode.ENVIRONMENT),
    ((UnreachableError, PackagesError, RecordCacheError), ExitCode.ENVIRONMENT),
)
_OURS = (
    ConfigError,
    CheckpointError,
    RecipeError,
    TrainerError,
    CommandError,
    NotFoundError,
    ForeignPackageError,
)


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code for an error; those nobody foresaw are failures."""
    for kinds, code in _EXIT_CODES:
        if isinstance(error, kinds):
            return code
    return ExitCode.FAILED


def report_error(error: Exception, *, as_json: bool) -> ExitCode:
    """Write one clear message, or one JSON object, to stderr, and return the exit code."""
    code = exit_code_of(error)
    message = str(error)
    if not isinstance(error, _OURS):
        message = f"unforeseen {type(error).__name__}: {error}; `ostinato --debug ...` shows where"
    if isinstance(error, ConfigError):
        report_message(message, code, as_json=as_json, kind=type(error).__name__, problems=error.details())
    else:
        report_message(message, code, as_json=as_json, kind=type(error).__name__)
    return code


def report_message(message: str, code: int, *, as_json: bool, kind: str, **details: Any) -> None:
    """Write an error that is already words."""
    if as_json:
        body = {"kind": kind, "message": message, "exit_code": int(code), **details}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
    else:
        first, *others = message.splitlines() or [""]
        sys.stderr.write("\n".join([f"ostinato: {first}", *(f"          {line}" for line in others)]) + "\n")


def wants_json(words: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON, also when it cannot be parsed otherwise."""
    joined = {"-ojson", "-o=json", "--output=json", "--json"} & set(words)
    return bool(joined) or any(pair in {("-o", "json"), ("--output", "json")} for pair in pairwise(words))
