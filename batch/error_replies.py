"""Errors over HTTP: one table from our exceptions to status codes, and back to the same exceptions in the client."""

from collections.abc import Mapping
from typing import Any

from batch import errors
from batch.errors import BatchQueueError, ControllerError, LimitError

STATUS: dict[type[BatchQueueError], int] = {
    errors.BadRequestError: 400,
    errors.ImpossibleShapeError: 400,
    errors.BadTraceError: 400,
    errors.DependencyCycleError: 400,
    errors.NotFoundError: 404,
    errors.AmbiguousIdError: 400,
    errors.ConflictError: 409,
    errors.IllegalMoveError: 409,
    errors.StaleFenceError: 409,
    errors.PoolTakenError: 409,
    errors.NotAllowedError: 403,
    errors.LimitError: 429,
    errors.StoreError: 503,
    errors.StoreFullError: 507,
    errors.StoreInUseError: 503,
    errors.ControllerError: 502,
    errors.ControllerUnreachable: 503,
    errors.LaunchError: 502,
}
"""The status of each error; one that is not named here has the status of its nearest base."""

_BY_NAME = {kind.__name__: kind for kind in STATUS}
_UNNAMED = 500


def status_of(error: Exception) -> int:
    """Return the HTTP status for an error; those nobody foresaw are the server's fault."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _UNNAMED


def error_body(error: Exception) -> dict[str, Any]:
    """Return `{"error": {"type", "message", ...}}`. The text of an error nobody foresaw stays in the server's log."""
    if not isinstance(error, BatchQueueError):
        return {"error": {"type": "ControllerError", "message": "unforeseen error; the controller's log has it"}}
    text = str(error).encode(errors="backslashreplace").decode()  # JSON may escape what an answer cannot say
    body: dict[str, Any] = {"type": _name_of(error), "message": text}
    if isinstance(error, LimitError) and error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    return {"error": body}


def error_from(status: int, body: Any) -> BatchQueueError:
    """Return the exception that an answer with a status of 400 or more stands for."""
    said = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(said, Mapping):
        return ControllerError(f"HTTP status {status} that no controller of ours sends: is there a proxy between?")
    error = _BY_NAME.get(str(said.get("type")), ControllerError)(str(said.get("message")))
    if isinstance(error, LimitError):
        error.retry_after_s = said.get("retry_after_s")
    return error


def _name_of(error: BatchQueueError) -> str:
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _BY_NAME or kind is BatchQueueError)
