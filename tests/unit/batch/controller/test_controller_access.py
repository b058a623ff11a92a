"""Who may do what: every route by every role, teams, expiry, rates, and where a controller may serve."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_controller import AGENT, OPERATOR, Served, serving

from batch.controller import server
from batch.controller.rate_limits import Rate, RateLimits
from batch.controller.roles import RIGHTS, Principal, Right, Role
from batch.controller.server import Settings, serve
from batch.errors import ControllerError, LimitError, NotAllowedError
from batch.state_folder import StateFolder

PEOPLE = {"submitter", "team_admin", "operator"}
CODE = "0" * 64
ROUTES: list[tuple[str, str, object, set[str]]] = [
    ("POST", "/v1/jobs", [], PEOPLE),
    ("POST", "/v1/sweeps", {}, PEOPLE),
    ("GET", "/v1/jobs", None, PEOPLE),
    ("GET", "/v1/jobs/{job}", None, PEOPLE),
    ("GET", "/v1/jobs/{job}/why", None, PEOPLE),
    ("GET", "/v1/jobs/{job}/events", None, PEOPLE),
    ("GET", "/v1/jobs/{job}/attempts", None, PEOPLE),
    ("GET", "/v1/jobs/{job}/logs", None, PEOPLE),
    ("GET", "/v1/sweeps/{sweep}", None, PEOPLE),
    ("POST", "/v1/jobs/{job}/cancel", None, PEOPLE),
    ("POST", "/v1/jobs/{job}/hold", None, PEOPLE),
    ("POST", "/v1/jobs/{job}/release", None, PEOPLE),
    ("POST", "/v1/jobs/{job}/requeue", None, PEOPLE),
    ("POST", "/v1/jobs/{job}/set", {"tier": "flex"}, PEOPLE),
    ("GET", "/v1/teams", None, PEOPLE),
    ("PUT", "/v1/teams/{name}", {}, {"operator"}),
    ("GET", "/v1/pools", None, PEOPLE),
    ("POST", "/v1/pools/{name}/drain", None, {"operator"}),
    ("GET", "/v1/fairshare", None, PEOPLE),
    ("GET", "/v1/events", None, PEOPLE),
    ("GET", "/v1/tokens", None, {"operator"}),
    ("POST", "/v1/tokens", {"name": "x", "role": "agent"}, {"operator"}),
    ("DELETE", "/v1/tokens/{name}", None, {"operator"}),
    ("POST", "/v1/pools/{pool}/sync", {}, {"operator", "agent"}),
    ("GET", "/v1/code/{address}/exists", None, PEOPLE),
    ("GET", "/v1/code/{address}", None, {"operator", "agent"}),
    ("PUT", "/v1/code/{address}", {}, PEOPLE),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("access")) as served:
        tokens = served.service.tokens
        tokens.keep("ost_submitter", "sam", Role.SUBMITTER)
        served.json("PUT", "/v1/teams/vision", {})
        tokens.keep("ost_team_admin", "ada", Role.TEAM_ADMIN)
        yield served


@pytest.mark.parametrize("role", [role.value for role in Role])
@pytest.mark.parametrize(("method", "path", "body", "allowed"), ROUTES, ids=[f"{r[0]} {r[1]}" for r in ROUTES])
def test_every_route_by_every_role(
    shared: Served, method: str, path: str, body: object, allowed: set[str], role: str
) -> None:
    real = path.format(job="zzzzzzz", sweep="none", name="nothing", pool="p", address=CODE)
    answer = shared.call(method, real, body, token=f"ost_{role}")
    if role in allowed:
        assert answer.status_code not in {401, 403}, answer.text
    else:
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "NotAllowedError")
    assert shared.call(method, real, body, token=None).status_code == 403


def test_the_matrix_has_every_route(shared: Served) -> None:
    paths = shared.call("GET", "/v1/openapi.json", token=None).json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described - {("GET", "/v1/health")} == {(method, path) for method, path, _, _ in ROUTES}
    assert set(RIGHTS) == set(Right)


def test_a_submitter_acts_on_its_own_jobs_only(shared: Served) -> None:
    job = {"kind": "command", "payload": {"command": ["true"]}, "user": "somebody else"}
    [own] = shared.json("POST", "/v1/jobs", [job], token="ost_submitter")["jobs"]
    assert shared.json("GET", f"/v1/jobs/{own['id']}")["user"] == "sam"
    [other] = shared.submit({"user": "eve"})
    assert shared.call("POST", f"/v1/jobs/{other}/cancel", token="ost_submitter").status_code == 403
    assert shared.call("POST", f"/v1/jobs/{own['id']}/cancel", token="ost_submitter").status_code == 200


def test_a_token_of_a_team_is_good_for_that_team(shared: Served) -> None:
    made = shared.json("POST", "/v1/tokens", {"name": "vera", "role": "team_admin", "team": "vision"})
    token = made["token"]
    job = {"kind": "command", "payload": {"command": ["true"]}}
    [own] = shared.json("POST", "/v1/jobs", [job], token=token)["jobs"]
    assert shared.json("GET", f"/v1/jobs/{own['id']}")["team"] == "vision"
    assert shared.call("POST", "/v1/jobs", [{**job, "team": "default"}], token=token).status_code == 403
    [other] = shared.submit()
    for method, what in (("POST", "cancel"), ("GET", "logs")):
        assert shared.call(method, f"/v1/jobs/{other}/{what}", token=token).status_code == 403
    assert shared.json("DELETE", "/v1/tokens/vera") == {"revoked": "vera"}
    assert shared.call("GET", "/v1/jobs", token=token).status_code == 403


def test_an_expired_token_is_told_so(shared: Served) -> None:
    made = shared.json("POST", "/v1/tokens", {"name": "old", "role": "submitter", "expires_s": time.time() - 1})
    answer = shared.call("GET", "/v1/jobs", token=made["token"])
    assert (answer.status_code, "expired" in answer.text) == (403, True)


def test_secrets_of_tokens_are_kept_nowhere(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        made = served.json("POST", "/v1/tokens", {"name": "new", "role": "agent"})
        listed = served.call("GET", "/v1/tokens").text
        assert served.call("POST", "/v1/tokens", {"name": "new", "role": "agent"}).status_code == 409
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (made["token"], OPERATOR, AGENT):
        assert secret not in listed
        assert secret.encode() not in kept


def test_a_runaway_loop_is_told_to_wait(tmp_path: Path) -> None:
    limits = RateLimits({Role.OPERATOR: Rate(per_s=0.1, burst=3)}, clock=lambda: 0.0)
    with serving(tmp_path, limits) as served:
        answers = [served.call("GET", "/v1/teams") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[3].headers["retry-after"]) <= 10
        assert answers[3].json()["error"]["type"] == "LimitError"


def test_a_bucket_fills_again() -> None:
    now_s = 0.0
    limits = RateLimits({Role.SUBMITTER: Rate(per_s=2.0, burst=1.0)}, clock=lambda: now_s)
    limits.spend("a", Role.SUBMITTER)
    with pytest.raises(LimitError) as refused:
        limits.spend("a", Role.SUBMITTER)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    limits.spend("b", Role.SUBMITTER)
    now_s = 0.5
    limits.spend("a", Role.SUBMITTER)


def test_nobody_outside_is_served_before_there_are_tokens(tmp_path: Path) -> None:
    with pytest.raises(NotAllowedError, match="token create"):
        serve(Settings(StateFolder(tmp_path), host="0.0.0.0"))


def test_a_principal_without_the_right_is_told_who_has_it() -> None:
    with pytest.raises(NotAllowedError, match="operator may"):
        Principal("sam", Role.SUBMITTER).check(Right.MAKE_TOKENS)


def test_two_that_start_at_once_do_not_both_believe_to_have_the_port() -> None:
    with server._bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ControllerError, match=f"cannot serve at 127.0.0.1:{port}"):
            server._bound("127.0.0.1", port)
