"""The HTTP application: which routes there are, what every answer has in common, and how errors leave."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from batch.code_bundle import MAX_BUNDLE_BYTES
from batch.controller import routes_agents, routes_events, routes_fleet, routes_jobs, routes_submit, routes_tokens
from batch.controller.job_requests import MAX_BODY_BYTES
from batch.controller.service import Service
from batch.error_replies import error_body, status_of
from batch.errors import BadRequestError, BatchQueueError, LimitError, NotAllowedError, NotFoundError

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_MAX_DISCARDED_BYTES = 64 * 2**20

_log = logging.getLogger(__name__)


def create_app(service: Service) -> FastAPI:
    """Return the application that serves `service`, and starts and stops it with itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="Ostinato",
        summary="A durable queue for training jobs.",
        version="1",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    routes_submit.add_to(app)
    for module in (routes_jobs, routes_fleet, routes_tokens, routes_events, routes_agents):
        app.include_router(module.router, prefix="/v1")
    app.add_exception_handler(BatchQueueError, _foreseen)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(BodyLimit)
    return app


class BodyLimit:
    """Refuses bodies that are too large before they are read: above 8 MiB, or above what a code bundle may have."""

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or answer it with what is allowed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_BUNDLE_BYTES if scope["path"].startswith("/v1/code/") else MAX_BODY_BYTES
        size = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if size is None and scope["method"] in {"POST", "PUT"}:
            await self._refuse(scope, receive, send, "the body has no Content-Length: send one")
        elif size is not None and int(size) > limit:
            text = f"the body has {int(size)} bytes: at most {limit}; large data belongs into files or a store"
            await self._refuse(scope, receive, send, text)
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, scope: _Message, receive: _Receive, send: _Send, text: str) -> None:
        # Whoever is still sending would see a broken connection instead of the answer.
        read_bytes = 0
        while read_bytes < _MAX_DISCARDED_BYTES:
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        answer = JSONResponse(error_body(BadRequestError(text)), 413, headers={"Connection": "close"})
        await answer(scope, receive, send)


async def _foreseen(_: Request, error: Exception) -> JSONResponse:
    headers = {}
    if isinstance(error, LimitError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, NotAllowedError):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error), status_of(error), headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without the input: it may be a credential that was put into the wrong field.
    problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return JSONResponse(error_body(BadRequestError("; ".join(problems))), 400)


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path}: {error.detail}; /v1/openapi.json lists what there is"
    return JSONResponse(error_body(NotFoundError(text)), error.status_code)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(error_body(error), status_of(error))
