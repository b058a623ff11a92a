"""Bodies that are too large are refused before they are read."""

from fastapi.responses import JSONResponse

from batch.code_bundle import MAX_BUNDLE_BYTES
from batch.controller.asgi import App, Message, Receive, Send
from batch.controller.job_requests import MAX_BODY_BYTES
from batch.error_replies import error_body
from batch.errors import BadRequestError

_MAX_DISCARDED_BYTES = 64 * 2**20


class BodyLimit:
    """Refuses what is above 8 MiB, or above what a code bundle may have, and bodies whose size is not said."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
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

    async def _refuse(self, scope: Message, receive: Receive, send: Send, text: str) -> None:
        # Whoever is still sending would see a broken connection instead of the answer.
        read_bytes = 0
        while read_bytes < _MAX_DISCARDED_BYTES:
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        answer = JSONResponse(error_body(BadRequestError(text)), 413, headers={"Connection": "close"})
        await answer(scope, receive, send)
