"""What the command line itself refuses, and how every error becomes one message and one exit code."""

import json
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from scripts.cli.exit_codes import ExitCode, PlanExitCode


class CommandError(Exception):
    """The command line asks for something that cannot be meant."""


class NotFoundError(Exception):
    """No such run or checkpoint."""


@cache
def _exit_codes() -> tuple[tuple[tuple[type[Exception], ...], ExitCode | PlanExitCode], ...]:
    """Return the code of each kind of error. Imports the errors of all packages: only when there is one to tell."""
    import batch.errors as batch
    import planner.errors as planner
    from checkpoint.errors import ArenaError, KeeperError, ObjectMissing, StoreError
    from configs.errors import ConfigError
    from recipes import errors as recipes
    from scripts.origin import ForeignPackageError
    from trainer.errors import BatchError, ClusterError, DeviceError, RunFolderError

    return (
        ((ConfigError, CommandError, BatchError), ExitCode.BAD_INPUT),
        ((recipes.UnknownChoiceError, recipes.CombinationError), ExitCode.BAD_INPUT),
        ((batch.PoolTakenError,), ExitCode.ENVIRONMENT),
        ((batch.BadRequestError, batch.AmbiguousIdError, batch.ConflictError), ExitCode.BAD_INPUT),
        ((NotFoundError, ObjectMissing, batch.NotFoundError), ExitCode.NOT_FOUND),
        ((recipes.NoCatalogueError, recipes.MissingShardError), ExitCode.NOT_FOUND),
        ((StoreError, ArenaError, KeeperError), ExitCode.ENVIRONMENT),
        ((ClusterError, DeviceError, RunFolderError, ForeignPackageError), ExitCode.ENVIRONMENT),
        ((recipes.UnreachableError, recipes.PackagesError, recipes.RecordCacheError), ExitCode.ENVIRONMENT),
        ((batch.NotAllowedError, batch.StoreError, batch.ControllerError), ExitCode.ENVIRONMENT),
        ((batch.LimitError,), ExitCode.INTERRUPTED),
        ((planner.BadInputError,), ExitCode.BAD_INPUT),
        ((planner.RefusedError,), PlanExitCode.REFUSED),
        ((planner.DoesNotFitError,), PlanExitCode.DOES_NOT_FIT),
        ((planner.NoReferenceDataError,), ExitCode.BAD_INPUT),
    )


@cache
def _ours() -> tuple[type[Exception], ...]:
    from batch.errors import BatchQueueError
    from checkpoint.errors import CheckpointError
    from configs.errors import ConfigError
    from planner.errors import PlannerError
    from recipes.errors import RecipeError
    from scripts.origin import ForeignPackageError
    from trainer.errors import TrainerError

    return (
        BatchQueueError, ConfigError, CheckpointError, PlannerError, RecipeError, TrainerError, CommandError,
        NotFoundError, ForeignPackageError,
    )  # fmt: skip


def exit_code_of(error: Exception) -> ExitCode | PlanExitCode:
    """Return the exit code for an error; those nobody foresaw are failures."""
    for kinds, code in _exit_codes():
        if isinstance(error, kinds):
            return code
    return ExitCode.FAILED


def report_error(error: Exception, *, as_json: bool) -> ExitCode | PlanExitCode:
    """Write one clear message, or one JSON object, to stderr, and return the exit code."""
    code = exit_code_of(error)
    message = str(error)
    if not isinstance(error, _ours()):
        message = f"unforeseen {type(error).__name__}: {error}; `ostinato --debug ...` shows where"
    details = getattr(error, "details", None)
    problems = {"problems": details()} if callable(details) else {}
    report_message(message, code, as_json=as_json, kind=type(error).__name__, **problems)
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
