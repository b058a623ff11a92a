"""Readers of recorded traces: what they take, and what they say about a line that cannot be meant."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from fixtures_traces import trace_of

from batch.errors import BadRequestError, BadTraceError
from batch.simulator import TraceFormat, read_trace
from batch.simulator.readers import OSTINATO_COLUMNS, PHILLY_COLUMNS

PHILLY = ",".join(PHILLY_COLUMNS) + "\n"
OCTOBER_S = datetime.fromisoformat("2017-10-01T00:00:00+00:00").timestamp()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_philly_is_read_in_order_of_submission_with_virtual_clusters_as_teams(tmp_path: Path) -> None:
    text = PHILLY + "2017-10-01 02:00:00,60.0,8,480.0,b\n2017-10-01 01:00:00,30.5,1,30.5,a\n"
    trace = read_trace(write(tmp_path / "t.csv", text), TraceFormat.PHILLY)
    assert trace.start_s == OCTOBER_S
    assert trace.submit_s.tolist() == [3600.0, 7200.0]
    assert trace.duration_s.tolist() == [30.5, 60.0]
    assert trace.chips.tolist() == [1, 8]
    assert [trace.teams[team] for team in trace.team] == ["a", "b"]
    assert trace.window_s == 3 * 3600.0


def test_tiresias_has_offsets_and_one_team(tmp_path: Path) -> None:
    text = "job_id,num_gpu,submit_time,iterations,model_name,duration,interval\n0,4,30,606,vgg19,164,30\n"
    trace = read_trace(write(tmp_path / "t.csv", text), TraceFormat.TIRESIAS)
    assert (trace.start_s, trace.submit_s.tolist(), trace.teams) == (0.0, [30.0], ("default",))


def test_gavels_steps_become_seconds_by_its_table(tmp_path: Path) -> None:
    table = {"v100": {"('ResNet-18 (batch size 16)', 2)": {"null": 4.0}}}
    throughputs = write(tmp_path / "throughputs.json", json.dumps(table))
    text = "ResNet-18 (batch size 16)\tpython3 main.py\t--num_steps\t1\t400\t12.5\t2\n"
    trace = read_trace(write(tmp_path / "vc.trace", text), TraceFormat.GAVEL, throughputs=throughputs)
    assert (trace.submit_s.tolist(), trace.duration_s.tolist(), trace.chips.tolist()) == ([12.5], [100.0], [2])
    assert trace.teams == ("vc",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("yesterday,60,1,60,a", r"t\.csv:2: timestamp = 'yesterday': must be a date and time such as"),
        ("2017-10-01 01:00:00,long,1,60,a", r"t\.csv:2: duration = 'long': must be a number, at least 0"),
        ("2017-10-01 01:00:00,-1,1,60,a", r"duration = '-1': must be a finite number, at least 0"),
        ("2017-10-01 01:00:00,inf,1,60,a", r"duration = 'inf': must be a finite number"),
        ("2017-10-01 01:00:00,60,0,60,a", r"num_gpus = '0': must be a finite number, at least 1"),
        ("2017-10-01 01:00:00,60,1.5,60,a", r"num_gpus = '1.5': must be a whole number, at least 1"),
        ("2017-10-01 01:00:00,60,1,60, ", r"cluster = ' ': must be a name"),
        ("2017-10-01 01:00:00,60,1", r"t\.csv:2: 3 values: must be 5 as above"),
    ],
)
def test_a_line_that_cannot_be_meant_is_told_with_its_place_value_and_what_is_allowed(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(BadTraceError, match=said):
        read_trace(write(tmp_path / "t.csv", PHILLY + line + "\n"), TraceFormat.PHILLY)


def test_another_header_a_missing_file_and_an_empty_trace_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", PHILLY)
    with pytest.raises(BadTraceError, match="must be 'uid,submit_s,duration_s,chips,team'"):
        read_trace(path, TraceFormat.OSTINATO)
    with pytest.raises(BadTraceError, match="holds no job"):
        read_trace(path, TraceFormat.PHILLY)
    with pytest.raises(BadTraceError, match="no such file"):
        read_trace(tmp_path / "none.csv", TraceFormat.PHILLY)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadTraceError, match="cannot be read as UTF-8"):
        read_trace(path, TraceFormat.PHILLY)


def test_gavel_needs_its_table_and_nothing_else_does(tmp_path: Path) -> None:
    trace = write(tmp_path / "vc.trace", "A\tb\tc\t1\t400\t0\t1\n")
    with pytest.raises(BadTraceError, match="give --throughputs"):
        read_trace(trace, TraceFormat.GAVEL)
    with pytest.raises(BadTraceError, match="for no other format"):
        read_trace(trace, TraceFormat.PHILLY, throughputs=trace)
    with pytest.raises(BadTraceError, match="not a table of throughputs"):
        read_trace(trace, TraceFormat.GAVEL, throughputs=trace)
    table = write(tmp_path / "t.json", json.dumps({"v100": {"('B', 1)": {"null": 1.0}}}))
    with pytest.raises(BadTraceError, match=r"vc\.trace:1: job type = 'A': must be one that the table of throughputs"):
        read_trace(trace, TraceFormat.GAVEL, throughputs=table)
    with pytest.raises(BadTraceError, match="2 fields: must be 7"):
        read_trace(write(tmp_path / "short.trace", "A\tb\n"), TraceFormat.GAVEL, throughputs=table)


def test_a_window_holds_what_was_submitted_in_it_and_names_its_own_teams(tmp_path: Path) -> None:
    rows = "0,86400,10,1,b\n1,90000,10,1,a\n2,180000,10,1,a\n"
    trace = read_trace(write(tmp_path / "t.csv", ",".join(OSTINATO_COLUMNS) + "\n" + rows), TraceFormat.OSTINATO)
    window = trace.window(datetime.fromisoformat("1970-01-02T01:00"), 1.0)
    assert (window.submit_s.tolist(), window.teams, window.window_s) == ([0.0], ("a",), 86400.0)
    with pytest.raises(BadRequestError, match="the trace goes from 1970-01-02 00:00 to 1970-01-03 03:00"):
        trace.window(datetime.fromisoformat("2017-10-01"), 1.0)


def test_load_says_how_many_chips() -> None:


    trace = trace_of([(0.0, 3600.0, 4, "a"), (0.0, 3600.0, 2, "a")])
    assert trace.window_s == 3600.0
    assert [trace.chips_for_load(load) for load in (1.0, 2.0, 0.5)] == [6, 4, 12]
