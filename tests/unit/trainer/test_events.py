import json
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st

from trainer.events import EventLog, read_events


def test_a_torn_last_line_swallows_no_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "whole"}\n{"event": "to')
    EventLog(path, run="mine").write("next")
    assert [event["event"] for event, _ in read_events(path)] == ["whole", "next"]


def test_an_event_carries_its_run_rank_and_time(tmp_path: Path) -> None:
    EventLog(tmp_path / "events.jsonl", run="r", rank=3).write("step", step=1, loss=0.1 + 0.2)
    [(event, _)] = read_events(tmp_path / "events.jsonl")
    assert (event["event"], event["run"], event["rank"], event["loss"]) == ("step", "r", 3, 0.1 + 0.2)
    assert isinstance(event["time_s"], float)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cut=st.integers(0, 200))
def test_a_writer_killed_in_mid_line_costs_at_most_that_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    lines = [json.dumps({"event": "step", "step": step}) + "\n" for step in range(5)]
    whole = "".join(lines)
    path.write_text(whole[: max(0, len(whole) - cut)])
    complete = path.read_text().count("\n")
    read = list(read_events(path))
    assert [event["step"] for event, _ in read] == list(range(complete))
    # The next writer's lines are found by a follower that goes on from the last offset, even behind a torn line.
    with path.open("a") as file:
        file.write("\n" + lines[0])
    offset = read[-1][1] if read else 0
    assert [event["step"] for event, _ in read_events(path, offset)][-1] == 0


def test_several_writers_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    pids = []
    for rank in range(4):
        pid = os.fork()
        if pid == 0:
            log = EventLog(path, run="r", rank=rank)
            for step in range(200):
                log.write("step", step=step, padding="x" * 300)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    events = [event for event, _ in read_events(path)]
    assert len(events) == 800
    assert all([event["step"] for event in events if event["rank"] == rank] == list(range(200)) for rank in range(4))
