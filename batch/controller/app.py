"""The HTTP application: which routes there are, and what stands in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from batch.controller import routes_agents, routes_events, routes_fleet, routes_jobs, routes_tokens
from batch.controller.asgi import App
from batch.controller.body_limit import BodyLimit
from batch.controller.error_answers import invalid, no_route, raised
from batch.controller.routes_submit import SubmissionRoutes
from batch.controller.service import Service
from batch.controller.submission_schema import describe_submissions
from batch.errors import BatchQueueError


def create_app(service: Service) -> App:
    """Return the application that serves `service`, and starts and stops it with itself."""
    return BodyLimit(SubmissionRoutes(_api(service), service))


def _api(service: Service) -> FastAPI:
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
    for module in (routes_jobs, routes_fleet, routes_tokens, routes_events, routes_agents):
        app.include_router(module.router, prefix="/v1")
    describe_submissions(app)
    app.add_exception_handler(BatchQueueError, raised)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, no_route)
    app.add_exception_handler(Exception, raised)
    return app
