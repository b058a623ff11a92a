"""The journal, to be read in pieces or followed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from batch.controller.api_models import Reader, ServiceOf, Whole
from batch.controller.service import Service
from batch.controller.views import event_object

router = APIRouter(tags=["events"])

_KEEPALIVE_S = 15.0
_PAGE = 500


@router.get("/events")
async def get_events(
    service: ServiceOf,
    _: Reader,
    after: Annotated[Whole | None, Query(description="seq; a stream without it begins now")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    stream: Annotated[bool, Query(description="follow, as server-sent events")] = False,
) -> Response:
    """Return events with a greater seq than `after`, oldest first; or all that come, as `data:` lines."""
    if stream:
        follow = _follow(service, service.seq if after is None else after)
        return StreamingResponse(follow, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    rows = await asyncio.to_thread(service.queue.events, after or 0, limit)
    return JSONResponse({"events": [event_object(seq, event) for seq, event in rows]})


async def _follow(service: Service, after: int) -> AsyncIterator[bytes]:
    """Yield until the client leaves. The comment now and then shows both sides that the other is there."""
    yield b": following\n\n"
    while True:
        rows = await asyncio.to_thread(service.queue.events, after, _PAGE)
        if rows:
            after = rows[-1][0]
            yield b"".join(_message(event_object(seq, event)) for seq, event in rows)
        elif not await service.journal.wait(_KEEPALIVE_S):
            yield b": alive\n\n"


def _message(event: dict[str, object]) -> bytes:
    return f"id: {event['seq']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
