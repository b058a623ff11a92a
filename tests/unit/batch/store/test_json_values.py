"""Values of the queue as JSON: back unchanged, and refused with the place when they are not what was declared."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from batch import events as ev
from batch.errors import BadRequestError, StoreError
from batch.journal import KINDS, JournalRow, from_row, to_row
from batch.json_values import MAX_INTEGER, from_json, to_json
from batch.model import Cause, Dependency, JobSpec, Node, Pool, Shape, SweepSpec, Team, Tier

NAMES = st.text(max_size=8)
NUMBERS = st.floats(0, 1e9)
SHAPES = st.builds(
    Shape, st.integers(1, 64), st.integers(0, 8), st.integers(0, 64), st.none() | NAMES,
    st.lists(st.tuples(NAMES, NAMES), max_size=2).map(tuple), st.none() | NAMES,
)  # fmt: skip
SPECS = st.builds(
    JobSpec,
    kind=st.sampled_from(["train", "command"]),
    payload=st.dictionaries(NAMES, st.integers() | NAMES | st.lists(st.booleans(), max_size=2), max_size=3),
    shape=SHAPES,
    tier=st.sampled_from(Tier),
    time_limit_s=st.none() | NUMBERS,
    after=st.lists(st.builds(Dependency, st.integers(1, 9), st.booleans()), max_size=2).map(tuple),
    retries=st.dictionaries(st.sampled_from(Cause), st.integers(0, 9), max_size=2),
    held=st.booleans(),
)
VALUES: dict[type[Any], st.SearchStrategy[Any]] = {
    Cause: st.sampled_from(Cause),
    JobSpec: SPECS,
    SweepSpec: st.builds(SweepSpec, template=SPECS, axes=st.just((("lr", ("1", "2")),))),
    Team: st.builds(Team, name=NAMES, weight=NUMBERS, quota=st.none() | st.integers(0, 9)),
    Pool: st.builds(Pool, name=NAMES, nodes=st.just((Node("n", 8, 64, None, (("zone", "a"),)),))),
    float: NUMBERS,
    int: st.integers(-MAX_INTEGER, MAX_INTEGER),
}
for declared, strategy in VALUES.items():
    st.register_type_strategy(declared, strategy)
EVENTS = st.one_of([st.builds(cls) for cls in KINDS.values()])


@given(SPECS)
def test_a_specification_comes_back(spec: JobSpec) -> None:
    assert from_json(JobSpec, json.loads(json.dumps(to_json(spec))), "job") == spec


@given(EVENTS, st.integers(1, 9))
def test_an_event_comes_back_from_its_row(event: ev.Event, seq: int) -> None:
    row = to_row(seq, event)
    assert from_row(row, getattr(event, "spec", None)) == event
    assert "spec" not in row.payload, "the row of the job has it"


def test_every_kind_of_event_is_known() -> None:
    assert len(KINDS) == 16
    with pytest.raises(StoreError, match="kind 'JobSung' is not known to this version"):
        from_row(JournalRow(3, 0.0, "JobSung", 1, ""))
    with pytest.raises(StoreError, match="event 3: the journal is damaged"):
        from_row(JournalRow(3, 0.0, "JobHeld", 1, "{"))
    with pytest.raises(StoreError, match="event 3: the journal is damaged"):
        from_row(JournalRow(3, 0.0, "JobStarted", 1, '{"attempt": "one"}'))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "job = []: must be an object"),
        ({"kind": "train"}, "job: lacks payload"),
        ({"kind": "train", "payload": {}, "gpus": 8}, "job: does not know gpus; allowed are after"),
        ({"kind": 7, "payload": {}}, "job.kind = 7: must be of type str"),
        ({"kind": "train", "payload": {}, "shape": {"gpus": True}}, "job.shape.gpus = True: must be of type int"),
        ({"kind": "train", "payload": {}, "tier": "urgent"}, "job.tier = 'urgent': must be one of interactive"),
        ({"kind": "train", "payload": {}, "tier": ["flex"]}, "job.tier = ['flex']: must be one of interactive"),
        ({"kind": "train", "payload": {}, "after": [{"uid": 1}, 2]}, "job.after[1] = 2: must be an object"),
        ({"kind": "train", "payload": {}, "after": "1"}, "job.after = '1': must be a list"),
        ({"kind": "train", "payload": {}, "retries": {"bad luck": 1}}, "job.retries = 'bad luck': must be one of"),
        ({"kind": "train", "payload": {}, "shape": {"labels": [["a"]]}}, "must have 2 items"),
        ({"kind": "train", "payload": []}, "job.payload = []: must be an object"),
    ],
)
def test_what_is_not_a_specification_is_named(document: Any, words: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        from_json(JobSpec, document, "job")
    assert words in str(raised.value)


def test_whole_numbers_are_read_where_fractions_may_stand() -> None:
    spec = from_json(JobSpec, {"kind": "train", "payload": {}, "grace_s": 5}, "job")
    assert spec.grace_s == 5.0
    assert isinstance(spec.grace_s, float)
