"""Teams, pools, shares, and how the controller itself is."""

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from batch.controller.api_models import DrainBody, Health, PoolDrainer, Reader, ServiceOf, TeamBody, TeamRow, TeamSetter
from batch.controller.service import Service
from batch.controller.views import pool_row, team_row
from batch.errors import BadRequestError
from batch.model import Pool, Team
from batch.scheduler import fair_share

router = APIRouter(tags=["fleet"])


@router.get("/teams", responses={200: {"model": list[TeamRow]}})
def list_teams(service: ServiceOf, _: Reader) -> JSONResponse:
    """Return the teams with weight and quota."""
    return JSONResponse({"teams": [team_row(team) for team in service.queue.teams().values()]})


@router.put("/teams/{name}", responses={200: {"model": TeamRow}})
def set_team(name: str, body: TeamBody, service: ServiceOf, _: TeamSetter) -> JSONResponse:
    """Make or change a team; what is not given stays. `quota` caps chips in use: 0 lets none start, -1 is no cap."""
    if not name.strip() or len(name) > 80 or "/" in name:
        raise BadRequestError(f"team name {name[:80]!r}: must have 1 to 80 characters, and no slash")
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    for cap in ("quota", "max_queued"):
        if changes.get(cap) == -1:
            changes[cap] = None
    team = replace(service.queue.teams().get(name, Team(name=name)), **changes)
    service.queue.set_team(team)
    return JSONResponse(team_row(team))


@router.get("/pools")
def list_pools(service: ServiceOf, _: Reader) -> JSONResponse:
    """Return the pools with their nodes, and for how long each agent has said nothing."""
    return JSONResponse({"pools": [_row(service, pool) for pool in service.queue.pools().values()]})


@router.post("/pools/{name}/drain")
def drain(name: str, service: ServiceOf, _: PoolDrainer, body: DrainBody | None = None) -> JSONResponse:
    """Let nothing new start in a pool, or let it again. What runs there goes on."""
    pool = service.queue.drain(name, drained=body is None or body.drained)
    return JSONResponse(_row(service, pool))


@router.get("/fairshare")
def get_fair_share(service: ServiceOf, _: Reader) -> JSONResponse:
    """Return each team's share of what is in use, and what it is entitled to."""
    rows = service.scheduling.ask(fair_share)
    return JSONResponse({"teams": [asdict(row) for row in rows]})


@router.get("/health", response_model=Health)
def health(
    request: Request,
    service: ServiceOf,
    token: Annotated[str | None, Query(max_length=64)] = None,
    challenge: Annotated[str | None, Query(max_length=64)] = None,
) -> Health:
    """Return whether the controller is well. Needs no token, and says nothing about jobs.

    With `token` and `challenge` it proves that it knows a token, as batch/token_proof.py describes.
    """
    asked = token is not None and challenge is not None
    failure = service.queue.failure or service.scheduling.failure
    return Health(
        status="ok" if failure is None else "degraded",
        epoch=service.queue.epoch,
        seq=service.seq,
        uptime_s=time.monotonic() - service.started_s,
        failure=failure,
        proof=service.tokens.prove(str(token), str(challenge), request.scope["server"][1]) if asked else None,
    )


def _row(service: Service, pool: Pool) -> dict[str, Any]:
    silent_s, trouble = service.desk.silent_s(pool.name), service.desk.trouble(pool.name)
    return pool_row(pool, len(service.board.placed(pool.name)), silent_s, trouble)
