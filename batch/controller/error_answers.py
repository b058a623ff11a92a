"""How errors leave: one answer for each, whichever way a request came in."""

import logging

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from batch.error_replies import error_body, status_of
from batch.errors import BadRequestError, BatchQueueError, LimitError, NotAllowedError, NotFoundError

_log = logging.getLogger(__name__)


def answer_to(error: Exception, method: str, path: str) -> JSONResponse:
    """Return the answer to a request that failed with `error`; what nobody foresaw is logged."""
    headers = {}
    if isinstance(error, LimitError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, NotAllowedError):
        headers["WWW-Authenticate"] = "Bearer"
    if not isinstance(error, BatchQueueError):
        _log.error("%s %s failed", method, path, exc_info=error)
    return JSONResponse(error_body(error), status_of(error), headers)


async def raised(request: Request, error: Exception) -> JSONResponse:
    """Answer an error that a route has raised."""
    return answer_to(error, request.method, request.url.path)


async def invalid(_: Request, error: Exception) -> JSONResponse:
    """Answer a body or query that is not as described."""
    assert isinstance(error, RequestValidationError)
    # Without the input: it may be a credential that was put into the wrong field.
    problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return JSONResponse(error_body(BadRequestError("; ".join(problems))), 400)


async def no_route(request: Request, error: Exception) -> JSONResponse:
    """Answer a request for what there is not."""
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path}: {error.detail}; /v1/openapi.json lists what there is"
    return JSONResponse(error_body(NotFoundError(text)), error.status_code)
