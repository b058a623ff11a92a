"""Tokens: made, listed and ended by operators."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from batch.controller.api_models import ServiceOf, TokenBody, TokenMaker, TokenRow
from batch.controller.views import token_row

router = APIRouter(tags=["tokens"])


@router.get("/tokens", responses={200: {"model": list[TokenRow]}})
def list_tokens(service: ServiceOf, _: TokenMaker) -> JSONResponse:
    """Return the tokens without their secrets, oldest first."""
    return JSONResponse({"tokens": [token_row(token) for token in service.tokens.all()]})


@router.post("/tokens", status_code=201, responses={201: {"model": TokenRow}})
def create_token(body: TokenBody, service: ServiceOf, _: TokenMaker) -> JSONResponse:
    """Make a token. The answer is the only place where its secret is ever shown."""
    secret = service.tokens.create(body.name, body.role, body.team, body.expires_s)
    row = {"name": body.name, "role": body.role.value, "team": body.team, "expires_s": body.expires_s}
    return JSONResponse({**row, "token": secret}, 201, {"Cache-Control": "no-store"})


@router.delete("/tokens/{name}")
def revoke_token(name: str, service: ServiceOf, _: TokenMaker) -> JSONResponse:
    """End a token."""
    service.tokens.revoke(name)
    return JSONResponse({"revoked": name})
