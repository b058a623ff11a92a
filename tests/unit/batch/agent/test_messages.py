import json

import pytest
from hypothesis import given, settings, strategies as st

from batch.agent.messages import (
    AttemptStatus,
    Forget,
    Grant,
    LogChunk,
    LogRequest,
    Stop,
    SyncAnswer,
    SyncRequest,
)
from batch.errors import BadRequestError
from batch.launcher import Ended, Progress
from batch.model import Cause, Node

COUNTS = st.integers(0, 2**53)
TIMES_S = st.floats(0, 1e12)
NAMES = st.text(max_size=12)
KEYS = {"uid": COUNTS, "attempt": COUNTS}
LABELS = st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple)
NODES = st.builds(Node, NAMES, COUNTS, COUNTS, st.none() | NAMES, LABELS)
ENDS = st.builds(
    Ended,
    state=st.sampled_from(["succeeded", "failed", "interrupted"]),
    exit_code=st.none() | st.integers(-64, 255),
    cause=st.none() | st.sampled_from(Cause),
    message=NAMES,
    metrics=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
)
STATUSES = st.builds(
    AttemptStatus,
    **KEYS,
    fence=COUNTS,
    started_s=st.none() | TIMES_S,
    stop=st.sampled_from([None, "save", "now"]),
    ended=st.none() | ENDS,
    progress=st.builds(Progress, saved_s=st.none() | TIMES_S, step=st.none() | COUNTS),
    log_bytes=st.dictionaries(st.integers(0, 9), COUNTS, max_size=2),
)
CHUNKS = st.builds(LogChunk, key=NAMES, offset=COUNTS, data=st.binary(max_size=9), size_bytes=st.none() | COUNTS)
REQUESTS = st.builds(
    SyncRequest,
    agent=NAMES,
    sequence=COUNTS,
    wait_s=TIMES_S,
    nodes=st.lists(NODES, max_size=2).map(tuple),
    attempts=st.lists(STATUSES, max_size=3).map(tuple),
    log_chunks=st.lists(CHUNKS, max_size=2).map(tuple),
)
GRANTS = st.builds(
    Grant,
    **KEYS,
    id=NAMES,
    fence=COUNTS,
    kind=NAMES,
    payload=st.dictionaries(NAMES, NAMES | COUNTS | st.lists(NAMES, max_size=2), max_size=2),
    nodes=st.lists(NAMES, max_size=2).map(tuple),
    time_limit_s=st.none() | TIMES_S,
    code=st.none() | NAMES,
)
ANSWERS = st.builds(
    SyncAnswer,
    revision=COUNTS,
    queue=NAMES,
    start=st.lists(GRANTS, max_size=2).map(tuple),
    stop=st.lists(st.builds(Stop, **KEYS, now=st.booleans()), max_size=2).map(tuple),
    forget=st.lists(st.builds(Forget, **KEYS), max_size=2).map(tuple),
    log_requests=st.lists(st.builds(LogRequest, **KEYS, key=NAMES, rank=COUNTS, offset=COUNTS), max_size=1).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(REQUESTS)
def test_a_request_survives_the_wire(request_: SyncRequest) -> None:
    assert SyncRequest.from_json(json.loads(json.dumps(request_.to_json()))) == request_


@settings(max_examples=50, deadline=None)
@given(ANSWERS)
def test_an_answer_survives_the_wire(answer: SyncAnswer) -> None:
    assert SyncAnswer.from_json(json.loads(json.dumps(answer.to_json()))) == answer


def test_a_field_of_a_newer_version_is_ignored() -> None:
    assert SyncAnswer.from_json({"revision": 3, "mood": "good"}) == SyncAnswer(revision=3)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "sync answer: lacks revision"),
        ([], r"sync answer = \[\]: must be an object"),
        ({"revision": "3"}, "sync answer.revision = '3': must be of type int"),
        ({"revision": True}, "must be of type int"),
        ({"revision": 1, "stop": {}}, "sync answer.stop = {}: must be a list"),
        ({"revision": 1, "stop": [{"uid": 1}]}, r"sync answer.stop\[0\]: lacks attempt"),
        ({"revision": 1, "stop": [{"uid": 1, "attempt": 1, "now": 1}]}, r"stop\[0\].now = 1: must be of type bool"),
    ],
)
def test_a_malformed_answer_is_told_by_place_and_value(raw: object, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        SyncAnswer.from_json(raw)


def test_a_malformed_request_is_told_by_place_and_value() -> None:
    status = {"uid": 1, "attempt": 1, "fence": 1}
    body = {"agent": "a", "sequence": 1, "wait_s": 0, "nodes": [], "attempts": [status]}
    assert SyncRequest.from_json(body).attempts == (AttemptStatus(uid=1, attempt=1, fence=1),)
    status["ended"] = {"state": "failed", "cause": "bad luck"}
    with pytest.raises(BadRequestError, match=r"attempts\[0\].ended.cause = 'bad luck': must be one of preemption"):
        SyncRequest.from_json(body)
    with pytest.raises(BadRequestError, match=r"log_chunks\[0\].data = '%': must be base64 text"):
        SyncRequest.from_json({**body, "attempts": [], "log_chunks": [{"key": "", "offset": 0, "data": "%"}]})
    status["ended"] = None
    status["log_bytes"] = {"one": 1}
    with pytest.raises(BadRequestError, match="must have numbers as keys"):
        SyncRequest.from_json(body)
