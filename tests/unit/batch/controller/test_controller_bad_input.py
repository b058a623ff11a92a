"""What cannot be meant is refused with words, before anything is written; errors come back as the same exceptions."""

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from fixtures_controller import DEADLINE_S, FakeAgent, Served, serving, wait_until

from batch import errors
from batch.client import Client
from batch.controller.server import Settings, serve
from batch.error_replies import STATUS, error_body, error_from, status_of
from batch.errors import (
    BatchQueueError,
    ControllerUnreachable,
    ImpossibleShapeError,
    LimitError,
    NotAllowedError,
    StoreError,
)
from batch.job_queue import Queue
from batch.model import Cause
from batch.state_folder import Address, StateFolder

COMMAND: dict[str, Any] = {"kind": "command", "payload": {"command": ["true"]}}
CANARY = "canary-7f3a9c55e1"
NESTED: Any = json.loads("[" * 800 + "]" * 800)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "no JSON"),
        (b"NaN", 400, "NaN"),
        (b"[" * 100_000, 400, "no JSON"),
        ({}, 400, "must be a list"),
        ([], 400, "one at least"),
        ([COMMAND] * 10_001, 400, "at most 10000"),
        ([{"kind": "command"}], 400, "lacks payload"),
        ([{**COMMAND, "kind": "dance"}], 400, "must be train or command"),
        ([{**COMMAND, "payload": {"command": "ls"}}], 400, "the program and its arguments"),
        ([{**COMMAND, "payload": {"command": [""]}}], 400, "the program must have a name"),
        ([{**COMMAND, "payload": {"command": ["a", "b\0c"]}}], 400, "zero character"),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": {"": "b"}}}], 400, "a name without ="),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": {"A=B": "c"}}}], 400, "'A=B'"),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": {"A": 5}}}], 400, "environment: 'A'"),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": {"A": "\0"}}}], 400, "without zeros"),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": ["A"]}}], 400, "must be an object"),
        ([{**COMMAND, "payload": {"command": ["x"], "secrets": {"\0": "env:A"}}}], 400, "without zeros"),
        ([{**COMMAND, "code": "../../etc"}], 400, "jobs[0].code = '../../etc': must be 64"),
        ([{**COMMAND, "shape": {"labels": {"a": "\ud800"}}}], 400, "fits nowhere"),
        ([{**COMMAND, "shape": {"accelerator": "\ud800", "gpus": 1}}], 400, "fits nowhere"),
        ([{**COMMAND, "time_limt": 3}], 400, "time_limt"),
        ([{**COMMAND, "shape": {"nodes": "two"}}], 400, "jobs[0].shape.nodes"),
        ([{**COMMAND, "shape": {"nodes": 0}}], 400, "nodes"),
        ([{**COMMAND, "shape": {"gpus": 0, "cpus": 0}}], 400, "cpus"),
        ([{**COMMAND, "tier": "urgent"}], 400, "interactive, standard, flex"),
        ([{**COMMAND, "team": "nobody"}], 404, "nobody"),
        ([{**COMMAND, "team": "stopped"}], 400, "quota"),
        ([{**COMMAND, "after": [{"job": "zzzzzzz"}]}], 404, "zzzzzzz"),
        ([{**COMMAND, "after": [{"index": 1}]}, {**COMMAND, "after": [{"index": 0}]}], 400, "wait for"),
        ([{**COMMAND, "after": [{"index": 0}]}], 400, ""),
        ([{**COMMAND, "shape": {"gpus": 3}}], 400, "fits nowhere: the pools have 1 x (0 GPUs, 4 CPUs)"),
        ([{**COMMAND, "shape": {"nodes": 2}}], 400, "fits nowhere"),
        ([{**COMMAND, "pool": "moon"}], 404, "there are: local"),
        ([{**COMMAND, "payload": {"command": ["x"], "environment": {"HF_TOKEN": CANARY}}}], 400, "--secret HF_TOKEN="),
        ([{**COMMAND, "payload": {"command": ["x", f"--api-key={CANARY}"]}}], 400, "api-key"),
        ([{**COMMAND, "name": "\ud800"}], 400, "half a surrogate "),
        ([{**COMMAND, "name": "a/b"}], 400, "no slash"),
        ([{**COMMAND, "name": "a\nb"}], 400, "control character"),
        ([{**COMMAND, "name": " a"}], 400, "no space at its ends"),
        ([{**COMMAND, "user": "\ud800"}], 400, "surrogates"),
        ([{**COMMAND, "payload": {"command": ["x"], "deep": NESTED}}], 400, "nested deeper than 50"),
        ([{**COMMAND, "retries": {"user_code": 10**20}}], 400, "retries"),
        (b'[{"kind": "command", "payload": {"command": ["x"]}, "grace_s": 1e400}]', 400, "must be finite"),
        ([{**COMMAND, "not_before_s": 1e308}], 400, "not_before_s = 1e+308: must be from 0 to 253402300799, "),
        ([{**COMMAND, "deadline_s": 253402300800}], 400, "deadline_s"),
        ([{**COMMAND, "recipe": "\ud800"}], 400, "surrogates"),
        ([{"kind": "command", "payload": {"command": ["\ud800"]}}], 400, "surrogates"),
        ([{**COMMAND, "after": [{"job": "\ud800"}]}], 404, "no job or sweep"),
        ([{**COMMAND, "after": [{"uid": 10**23}]}], 400, "jobs[0].after[0].uid = 1000"),
        ([{**COMMAND, "after": [{"uid": 2**40}]}], 400, "uids above 0"),
        ([{**COMMAND, "shape": {"gpus": 10**30}}], 400, "jobs[0].shape.gpus = 1000"),
        ([{**COMMAND, "shape": {"gpus": 10**10}}], 400, "fits nowhere"),
        ([{**COMMAND, "time_limit_s": 10**400}], 400, "must be of type float"),
        (json.dumps([COMMAND]).encode("utf-16"), 400, "no JSON"),
        ([{"kind": "train", "payload": {"document": {"checkpoint": {"secret_key": CANARY}}}}], 400, "secret_key"),
    ],
)
def test_bad_submissions(shared: Served, body: Any, status: int, says: str) -> None:
    before = shared.json("GET", "/v1/events")
    answer = shared.call("POST", "/v1/jobs", body)
    assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), answer.text
    assert CANARY not in answer.text
    assert shared.json("GET", "/v1/events") == before


def test_no_name_in_a_path_or_a_query_is_a_defect_of_ours(shared: Served) -> None:
    for path in ("/v1/jobs/%ED%A0%80", "/v1/jobs?name=%ED%A0%80", "/v1/sweeps/%ED%A0%80/", "/v1/pools/%ED%A0%80/sync"):
        assert shared.call("GET", path).status_code < 500
    assert shared.call("PUT", "/v1/teams/%ED%A0%80", {"weight": 1}).status_code < 500
    assert shared.call("POST", "/v1/pools/%ED%A0%80/drain").status_code == 404
    assert shared.call("POST", "/v1/jobs", [COMMAND], Idempotency_Key="a\xe9").status_code < 500


def test_what_no_scheduler_can_count_is_refused_also_before_any_pool_is_known(served: Served) -> None:
    answer = served.call("POST", "/v1/jobs", [{**COMMAND, "shape": {"cpus": 10**15, "nodes": 9}}])
    assert (answer.status_code, "must be from 0 to 1000000" in answer.text) == (400, True)
    served.submit()
    FakeAgent(served).take()
    assert served.json("GET", "/v1/health")["status"] == "ok"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("bad")) as served:
        FakeAgent(served).sync()
        served.json("PUT", "/v1/teams/stopped", {"quota": 0})
        served.submit({"shape": {"cpus": 4}})
        wait_until(lambda: served.json("GET", "/v1/jobs?state=launching")["jobs"])
        yield served


def test_large_bodies_are_refused_before_they_are_read(shared: Served) -> None:
    job = {**COMMAND, "payload": {"command": ["x"], "blob": "x" * 10 * 2**20}}
    answer = shared.call("POST", "/v1/jobs", [job])
    assert (answer.status_code, "at most" in answer.text) == (413, True)
    smaller = {**COMMAND, "payload": {"command": ["x"], "blob": "x" * 5 * 2**20}}
    assert shared.call("POST", "/v1/jobs", [smaller]).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("PUT", "/v1/teams/a", {"weight": 0}, "weight"),
        ("PUT", "/v1/teams/a", {"quota": -2}, "quota"),
        ("PUT", "/v1/teams/a", {"wieght": 1}, "wieght"),
        ("POST", "/v1/tokens", {"name": "x", "role": "king"}, "role"),
        ("POST", "/v1/tokens", {"name": "x", "role": "team_admin"}, "needs a team"),
        ("GET", "/v1/jobs?state=asleep", None, "asleep"),
        ("GET", "/v1/jobs?limit=0", None, "limit"),
        ("PUT", "/v1/code/nonsense", {}, "hexadecimal"),
        ("PUT", f"/v1/code/{'a' * 64}", {}, "code bundle"),
        ("POST", "/v1/pools/p/sync", {"agent": "a"}, "lacks"),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["a", []]]}, ""),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["a", ["\ud800"]]]}, "surrogates"),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["\ud800", ["a"]]]}, "surrogates"),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["a", ["1"]]], "key": "\ud800"}, "surrogates"),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["a", ["1"]]], "max_running": 10**20}, "max_running"),
        ("POST", "/v1/sweeps", {"template": COMMAND, "axes": [["a", ["1"]]], "stop_after": 10**20}, "stop_after"),
        ("GET", f"/v1/events?after={10**23}", None, "after"),
        ("GET", f"/v1/jobs/{'0' * 7}/events?after={10**23}", None, "after"),
        ("GET", f"/v1/jobs/{'0' * 7}/logs?offset={10**23}", None, "offset"),
        ("GET", f"/v1/jobs/{'0' * 7}/logs?attempt={10**23}", None, "attempt"),
        ("PUT", "/v1/teams/a", {"quota": 10**20}, "quota"),
        ("PUT", "/v1/teams/a", {"max_queued": 10**20}, "max_queued"),
        ("POST", "/v1/tokens", b'{"name": "x", "role": "agent", "expires_s": 1e400}', "expires_s"),
        ("POST", "/v1/tokens", b'{"name": "\\ud800", "role": "agent"}', "name"),
        ("POST", "/v1/tokens", json.dumps(NESTED).encode(), ""),
        ("POST", f"/v1/jobs/{'0' * 7}/set", b'{"time_limit_s": 1e400}', "time_limit_s"),
        ("POST", f"/v1/jobs/{'0' * 7}/set", {"deadline_s": 1e308}, "deadline_s"),
        ("POST", f"/v1/jobs/{'0' * 7}/set", {"max_running": 10**20}, "max_running"),
    ],
)
def test_bad_requests(shared: Served, method: str, path: str, body: Any, says: str) -> None:
    answer = shared.call(method, path, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadRequestError"), answer.text
    assert says in answer.text


OPEN: list[dict[str, Any]] = [
    {"command": ["x"], "environment": {"MY_TOKEN": CANARY}},
    {"command": ["x"], "environment": {"WANDB_KEY": CANARY}},
    {"command": ["x"], "environment": {"PGPASS": CANARY}},
    {"command": ["x"], "environment": {"PGPASSWORD": CANARY}},
    {"command": ["x"], "environment": {"DATABASE_URL": f"postgres://me:{CANARY}@db/x"}},
    {"command": ["x"], "nested": [{"apiKey": CANARY}]},
    {"command": ["x"], "nested": [["--token", CANARY]]},
    {"command": [f"PASSWORD={CANARY}", "x"]},
    {"command": ["x", f"--api-key={CANARY}"]},
    {"command": ["x", "--api-key", CANARY]},
    {"command": ["x", "-password", CANARY]},
    {"command": ["x", f"s3://id:{CANARY}@host/bucket"]},
    {"command": ["sh", "-c", f"export WANDB_KEY={CANARY}; x"]},
    {"command": ["sh", "-c", f"x --verbose --api-key '{CANARY}' y"]},
    {"command": ["curl", "-H", f"Authorization: Bearer {CANARY}"]},
    {"command": ["x", "--wandb-key", CANARY]},
    {"command": ["x", f'{{"a": 1, "api_key": "{CANARY}"}}']},
    {"command": ["sh", "-c", f'x --json "{{\\"apiKey\\": \\"{CANARY}\\"}}"']},
    {"command": ["x", f"headers={{'token': '{CANARY}'}}"]},
    {"command": ["curl", "-s", "-u", f"me:{CANARY}", "https://host"]},
    {"command": ["curl", f"-ume:{CANARY}", "https://host"]},
    {"command": ["/usr/bin/curl", f"--proxy-user=me:{CANARY}", "https://host"]},
    {"command": ["sh", "-c", f"cd a && curl -s --user 'me:{CANARY}' https://host"]},
    {"command": ["x", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{CANARY}"]},
    {"command": ["x", f"hf_{CANARY.replace('-', '') * 3}"]},
]


def test_a_credential_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setenv("MY_TOKEN", CANARY)
    said = []
    with serving(tmp_path) as served:
        for payload in OPEN:
            said.append(served.call("POST", "/v1/jobs", [{**COMMAND, "payload": payload}]))
        template = {**COMMAND, "payload": {"command": ["x"]}}
        said.append(served.call("POST", "/v1/sweeps", {"template": template, "axes": [["api_key", [CANARY]]]}))
        said.append(served.call("POST", "/v1/jobs", [{**COMMAND, "name": f"x --token {CANARY}"}]))
        assert [answer.status_code for answer in said] == [400] * len(said)
        [job] = served.submit({"payload": {"command": ["x"], "secrets": {"MY_TOKEN": "env:MY_TOKEN"}}})
        agent = FakeAgent(served)
        [grant] = agent.take()
        agent.ends(grant, "failed", cause=Cause.USER_CODE, message=f"cannot reach postgres://me:{CANARY}@db/x")
        agent.sync()
        said.append(served.call("GET", f"/v1/jobs/{job}"))
        said.append(served.call("GET", "/v1/events"))
    assert "env:MY_TOKEN" in said[-2].text
    assert "cannot reach postgres://me:********@db/x" in said[-2].text
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert CANARY.encode() not in kept
    assert CANARY not in "".join(answer.text for answer in said) + caplog.text


def test_what_is_advised_instead_of_a_credential_works(shared: Served) -> None:
    answer = shared.call("POST", "/v1/jobs", [{**COMMAND, "payload": {"command": ["x", f"--api-key={CANARY}"]}}])
    assert "`--secret API_KEY=env:API_KEY`" in answer.json()["error"]["message"]
    advised = {"command": ["sh", "-c", 'x --api-key "$API_KEY"'], "secrets": {"API_KEY": "env:API_KEY"}}
    shared.submit({"payload": advised})


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_errors_come_back_as_they_were_raised(kind: type[BatchQueueError]) -> None:
    error = kind("what, where, and what to do")
    if isinstance(error, LimitError):
        error.retry_after_s = 2.5
    back = error_from(status_of(error), json.loads(json.dumps(error_body(error))))
    assert (type(back), str(back), getattr(back, "retry_after_s", None)) == (
        kind, str(error), getattr(error, "retry_after_s", None),
    )  # fmt: skip
    assert pickle.loads(pickle.dumps(back)).__dict__ == back.__dict__  # noqa: S301 - errors cross processes


def test_every_error_has_a_status() -> None:
    ours = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BatchQueueError)}
    assert ours - {BatchQueueError} == set(STATUS)


def test_what_nobody_foresaw_tells_nothing(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(shared.service.queue, "teams", fail)
    answer = shared.call("GET", "/v1/teams")
    assert (answer.status_code, CANARY in answer.text) == (500, False)
    assert "controller's log" in str(error_from(500, answer.json()))


def test_a_queue_that_cannot_write_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("the listener is broken")

    monkeypatch.setattr(served.service.queue._committer, "_listener", fails)
    assert served.call("POST", "/v1/jobs", [COMMAND]).status_code < 300  # it is on disk
    assert served.call("POST", "/v1/jobs", [COMMAND]).status_code == 503
    health = served.json("GET", "/v1/health")
    assert (health["status"], "the listener is broken" in health["failure"]) == ("degraded", True)


def test_a_controller_that_cannot_write_ends_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why: list[str] = []
    ended: list[BaseException] = []
    monkeypatch.setattr(Queue, "failure", property(lambda _: why[0] if why else None))

    def run() -> None:
        try:
            serve(Settings(StateFolder(tmp_path)))
        except StoreError as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: (tmp_path / "controller.json").exists())
    assert thread.is_alive()
    why.append("the writer has stopped")
    thread.join(DEADLINE_S)
    assert "the writer has stopped: the controller has ended" in str(ended[0])


def test_the_client_raises_what_the_controller_raised(shared: Served) -> None:
    with Client(Address(shared.url, "ost_operator")) as client:
        with pytest.raises(ImpossibleShapeError):
            client.submit([{**COMMAND, "shape": {"gpus": 9}}])
        [made] = client.submit([COMMAND])
        assert client.job(made["id"])["state"] in {"queued", "launching"}
        assert client.act(made["id"], "cancel")["then"] in {"", "cancelled"}
    with Client(Address(shared.url, "wrong")) as client, pytest.raises(NotAllowedError):
        client.teams()
    with Client(Address("http://127.0.0.1:9")) as client, pytest.raises(ControllerUnreachable, match="ostinato up"):
        client.health()
