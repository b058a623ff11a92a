"""The bodies of the API, typed: what FastAPI checks on the way in and describes in /v1/openapi.json."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from batch.controller.roles import Principal, Right, Role
from batch.controller.service import Service
from batch.json_values import MAX_INTEGER
from batch.spec_checks import MAX_TIME_S


def service_of(request: Request) -> Service:
    """Return the service that the application serves."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


Whole = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Natural = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Offset = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Cap = Annotated[int, Field(ge=-1, le=MAX_INTEGER)]
"""-1 is no cap."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""The numbers of the API have their bounds here, those of jobs and sweeps in batch/json_values.py."""


class _Allowed:
    """A dependency: whoever has the right."""

    def __init__(self, right: Right) -> None:
        self._right = right

    async def __call__(self, request: Request) -> Principal:
        service: Service = request.app.state.service
        return service.admit(request.headers.get("authorization"), self._right)


Reader = Annotated[Principal, Depends(_Allowed(Right.READ))]
Changer = Annotated[Principal, Depends(_Allowed(Right.CHANGE_JOBS))]
Submitter = Annotated[Principal, Depends(_Allowed(Right.SUBMIT))]
TeamSetter = Annotated[Principal, Depends(_Allowed(Right.SET_TEAMS))]
PoolDrainer = Annotated[Principal, Depends(_Allowed(Right.DRAIN_POOLS))]
TokenMaker = Annotated[Principal, Depends(_Allowed(Right.MAKE_TOKENS))]
AgentOf = Annotated[Principal, Depends(_Allowed(Right.SYNC))]
CodeFetcher = Annotated[Principal, Depends(_Allowed(Right.FETCH_CODE))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CancelBody(_Body):
    """How to cancel."""

    now: bool = Field(False, description="without a save")


class EmptyBody(_Body):
    """Nothing needs to be said."""


class ChangeBody(_Body):
    """What may be set later; what is left out stays."""

    tier: Literal["interactive", "standard", "flex"] | None = None
    time_limit_s: Positive | None = None
    deadline_s: Annotated[float, Field(gt=0, le=MAX_TIME_S)] | None = None
    max_running: Natural | None = None


class TeamBody(_Body):
    """A team; what is left out stays as it is. `quota` -1: no cap."""

    weight: Positive | None = None
    quota: Cap | None = None
    max_queued: Cap | None = None


class DrainBody(_Body):
    """Whether nothing new starts in the pool."""

    drained: bool = True


class TokenBody(_Body):
    """A token to make."""

    name: str = Field(min_length=1, max_length=80)
    role: Role
    team: str | None = None
    expires_s: Positive | None = Field(None, description="epoch seconds; none: it does not expire")


class TeamRow(BaseModel):
    """One team."""

    name: str
    weight: float
    quota: int | None
    max_queued: int | None


class TokenRow(BaseModel):
    """One token. `token` only in the answer that made it."""

    name: str
    role: Role
    team: str | None
    created_s: float | None = None
    expires_s: float | None = None
    token: str | None = None


class JobRow(BaseModel):
    """What a list shows of one job; times in epoch seconds."""

    uid: int
    id: str
    name: str
    state: str
    kind: str
    team: str
    user: str
    tier: str
    chips: int
    pool: str
    nodes: list[str]
    attempt: int
    submitted_s: float
    started_s: float | None
    ended_s: float | None
    exit_code: int | None
    message: str
    metrics: dict[str, float]
    overrides: list[str]


class JobPage(JobRow):
    """All there is about one job."""

    spec: dict[str, Any]
    attempts: list[dict[str, Any]]


class Health(BaseModel):
    """What a controller says about itself."""

    status: Literal["ok", "degraded"]
    epoch: int
    seq: int
    uptime_s: float
    failure: str | None
    proof: str | None = None
