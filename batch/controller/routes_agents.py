"""What agents call: the sync of a pool, and the working folders of what they run."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from batch.agent.messages import SyncRequest
from batch.controller.api_models import AgentOf, CodeFetcher, ServiceOf, Submitter
from batch.controller.job_requests import parse_body

router = APIRouter(tags=["agents"])


@router.post("/pools/{pool}/sync")
async def sync(pool: str, request: Request, service: ServiceOf, _: AgentOf) -> JSONResponse:
    """Take in what the agent of a pool has; answer what it should do. Held for at most its `wait_s`."""
    message = SyncRequest.from_json(parse_body(await request.body()))
    answer = await service.desk.sync(pool, message)
    return JSONResponse(answer.to_json())


@router.get("/code/{address}/exists")
def has_code(address: str, service: ServiceOf, _: Submitter) -> JSONResponse:
    """Return whether the working folder of that content is here."""
    return JSONResponse({"exists": service.code.has(address)})


@router.get("/code/{address}", response_class=Response)
def get_code(address: str, service: ServiceOf, _: CodeFetcher) -> Response:
    """Return a packed working folder."""
    return Response(service.code.get(address), media_type="application/octet-stream")


@router.put("/code/{address}")
async def put_code(address: str, request: Request, service: ServiceOf, _: Submitter) -> JSONResponse:
    """Keep a packed working folder under its content's address."""
    data = await request.body()
    await asyncio.to_thread(service.code.put, address, data)
    return JSONResponse({"exists": True})
