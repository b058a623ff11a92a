"""`POST /v1/jobs` and `/v1/sweeps`: where thousands of submissions a second come in.

They are answered in front of the framework, whose layers cost more for each than reading, checking and writing it. What
is checked, and how errors leave, is the same. A request waits for the disk without a thread: the store's writer commits
many at once, and wakes the event loop once for all of them.
"""

import asyncio
import json
from typing import Any

from batch.controller.asgi import App, Message, Receive, Send
from batch.controller.error_answers import answer_to
from batch.controller.job_requests import jobs_from_json, parse_body, sweep_from_json
from batch.controller.roles import Right
from batch.controller.service import Service
from batch.controller.views import sweep_page
from batch.errors import BadRequestError
from batch.ids import id_of
from batch.spec_checks import MAX_NAME


class SubmissionRoutes:
    """Answers submissions, and passes all else on to `app`."""

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service
        self._routes = {"/v1/jobs": self._submit_jobs, "/v1/sweeps": self._submit_sweep}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, or whatever else the server asks for."""
        route = None
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._routes.get(scope["path"])
        if route is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await route(scope, receive)
        except Exception as error:  # noqa: BLE001 - answered, and logged when nobody foresaw it
            await answer_to(error, scope["method"], scope["path"])(scope, receive, send)
            return
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _submit_jobs(self, scope: Message, receive: Receive) -> Any:
        """Make the jobs of the body, a list, all or none; answered when they are on disk."""
        service = self._service
        who = service.admit(_header(scope, b"authorization"), Right.SUBMIT)
        key = _header(scope, b"idempotency-key")
        if key is not None and not 1 <= len(key) <= MAX_NAME:
            raise BadRequestError(f"Idempotency-Key has {len(key)} characters: 1 to {MAX_NAME} are allowed")
        specs = jobs_from_json(parse_body(await _body(receive)), service.queue.resolve, who)
        service.check_possible(specs)
        uids = await service.answers.of(service.queue.submit_soon(specs, key=key))
        return {"jobs": [{"uid": uid, "id": id_of(uid)} for uid in uids]}

    async def _submit_sweep(self, scope: Message, receive: Receive) -> Any:
        """Make the sweep of the body; the one that exists when its key is known."""
        service = self._service
        who = service.admit(_header(scope, b"authorization"), Right.SUBMIT)
        spec = sweep_from_json(parse_body(await _body(receive)), service.queue.resolve, who)
        service.check_possible([spec.template])
        uid = await service.answers.of(service.queue.submit_sweep_soon(spec))
        return sweep_page(await asyncio.to_thread(service.queue.sweep, uid))


def _header(scope: Message, name: bytes) -> str | None:
    found = next((value for key, value in scope["headers"] if key == name), None)
    return None if found is None else found.decode("latin-1")


async def _body(receive: Receive) -> bytes:
    """Return the whole body. Raises BadRequestError when the connection ends before it does."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("the connection ended before the body did: send it again")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
