"""`runs`, `show`, `logs` and `stop`, on run folders made by hand."""

import threading
import time
from pathlib import Path

import pytest
from fixtures_cli import WORKERS, Ostinato, make_run

from scripts.cli.run_summary import lock_holder
from trainer.run_folder import RunFolder


def test_no_runs(ostinato: Ostinato) -> None:
    assert ostinato("runs").code == 0
    assert ostinato("runs", "-o", "json").value == []


def test_runs_lists_what_there_is_and_filters(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "one", record={"state": "finished", "step": 200}, steps=[(200, 0.5)])
    make_run(Path("runs"), "two", record={"state": "running"}, steps=[(7, 2.5)])
    rows = {row["run"]: row for row in ostinato("runs", "-o", "json").value}
    assert (rows["one"]["state"], rows["one"]["step"], rows["one"]["loss"]) == ("finished", 200, 0.5)
    assert (rows["two"]["step"], rows["two"]["steps"], rows["two"]["last_checkpoint_step"]) == (7, 200, 7)
    assert [row["run"] for row in ostinato("runs", "--state", "running", "-o", "json").value] == ["two"]
    text = ostinato("runs").out
    assert "one" in text
    assert "two" in text


def test_a_damaged_run_does_not_hide_the_others(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "good", record={"state": "finished", "step": 1})
    bad = make_run(Path("runs"), "bad")
    (bad.path / "record.json").write_text("{")
    rows = {row["run"]: row for row in ostinato("runs", "-o", "json").value}
    assert rows["good"]["state"] == "finished"
    assert rows["bad"]["state"] == "damaged"
    assert ostinato("runs").code == 0


def test_show_gives_what_later_work_relies_on(ostinato: Ostinato) -> None:
    record = {"state": "running", "generation": 2, "fence": 3, "workers": WORKERS}
    folder = make_run(Path("runs"), "one", record=record, steps=[(7, 2.5)])
    shown = ostinato("show", "one", "-o", "json").value
    assert (shown["state"], shown["attempt"], shown["generation"]) == ("running", 1, 2)
    assert shown["folder"] == str(folder.path.resolve())
    assert shown["workers"][1] == {"rank": 1, "node": "node-b", "pid": 102}
    assert shown["abandoned"]
    text = ostinato("show", "one").out
    assert "node-b" in text
    assert "ostinato resume one" in text


def test_show_of_a_run_that_was_created_and_never_started(ostinato: Ostinato) -> None:
    make_run(Path("runs"), "new")
    shown = ostinato("show", "new", "-o", "json").value
    assert (shown["state"], shown["attempt"], shown["abandoned"]) == ("created", 0, False)


def test_a_process_that_trains_is_found_by_its_lock(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "running"})
    with folder.lock():
        shown = ostinato("show", "one", "-o", "json").value
        assert (shown["process"] is not None, shown["abandoned"]) == (True, False)
    assert ostinato("show", "one", "-o", "json").value["process"] is None


def test_no_lock_no_holder(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "none") is None
    (tmp_path / "file").touch()
    assert lock_holder(tmp_path / "file") is None


def test_runs_are_found_by_name_beginning_and_path(ostinato: Ostinato, tmp_path: Path) -> None:
    make_run(Path("elsewhere"), "alpha-1", record={"state": "failed", "reason": "bad luck"})
    make_run(Path("elsewhere"), "alpha-2")
    for words in (["alpha-1", "--folder", "elsewhere"], [str(tmp_path / "elsewhere/alpha-1")]):
        assert ostinato("show", *words, "-o", "json").value["reason"] == "bad luck"
    assert ostinato("show", "alpha-1", "--folder", "elsewhere").code == 0
    several = ostinato("show", "al", "--folder", "elsewhere")
    assert (several.code, "alpha-1, alpha-2" in several.err) == (2, True)


def test_the_runs_folder_can_come_from_the_environment(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(Path("elsewhere"), "one")
    monkeypatch.setenv("OSTINATO_RUNS", "elsewhere")
    assert ostinato("show", "o", "-o", "json").value["run"] == "one"


@pytest.mark.parametrize("command", ["show", "logs", "stop", "resume"])
def test_a_run_that_is_not_there(ostinato: Ostinato, command: str) -> None:
    make_run(Path("runs"), "clip-1234")
    said = ostinato(command, "clap-1234")
    assert (said.code, "did you mean clip-1234?" in said.err, said.out) == (3, True, "")
    error = ostinato(command, "zzz", "-o", "json").error
    assert (error["kind"], error["exit_code"]) == ("NotFoundError", 3)


def test_logs_of_all_ranks_and_of_one(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one")
    for rank in (0, 1):
        (folder.logs_path / f"rank-{rank}.log").write_text(f"first of {rank}\nlast of {rank}, unfinished")
    assert ostinato("logs", "one").out.splitlines() == [
        "rank-0 | first of 0",
        "rank-0 | last of 0, unfinished",
        "rank-1 | first of 1",
        "rank-1 | last of 1, unfinished",
    ]
    assert ostinato("logs", "one", "--rank", "1", "--tail", "1").out == "rank-1 | last of 1, unfinished\n"
    assert ostinato("logs", "one", "--tail", "0").out == ""
    lines = ostinato("logs", "one", "--rank", "0", "-o", "json").out.splitlines()
    assert lines[0] == '{"log": "rank-0", "text": "first of 0"}'
    missing = ostinato("logs", "one", "--rank", "5")
    assert (missing.code, "rank-0, rank-1" in missing.err) == (3, True)


def test_following_ends_with_the_run_and_misses_nothing(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "running"})
    log = folder.logs_path / "rank-0.log"
    log.write_text("before\nhalf a ")

    def go_on() -> None:
        time.sleep(0.5)
        with log.open("a") as file:
            file.write("line\n")
        (folder.logs_path / "rank-1.log").write_text("late, no newline")
        record = folder.record()
        assert record is not None
        folder.write_record(type(record)(**{**_fields(record), "state": "finished"}))

    thread = threading.Thread(target=go_on)
    thread.start()
    said = ostinato("logs", "one", "-f")
    thread.join()
    assert said.out.splitlines() == ["rank-0 | before", "rank-0 | half a line", "rank-1 | late, no newline"]


def test_stop_asks_and_waits_for_the_end(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "running"}, steps=[(7, 2.5)])
    requests: list[str | None] = []

    def supervisor() -> None:
        deadline_s = time.monotonic() + 30
        while folder.stop_request() is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
        requests.append(folder.stop_request())
        record = folder.record()
        assert record is not None
        folder.write_record(type(record)(**{**_fields(record), "state": "interrupted", "step": 8}))

    thread = threading.Thread(target=supervisor)
    thread.start()
    said = ostinato("stop", "one", "--now")
    thread.join()
    assert (said.code, requests) == (0, ["now"])
    assert "interrupted at step 8; go on with: ostinato resume one" in said.out


def test_stop_that_nobody_answers_says_why(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "running"})
    said = ostinato("stop", "one", "--wait", "0.1")
    assert (said.code, folder.stop_request()) == (4, "saved")
    assert "no process on this machine trains it" in said.out


def test_stop_of_a_run_that_has_ended_changes_nothing(ostinato: Ostinato) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "finished", "step": 200})
    assert ostinato("stop", "one", "-o", "json").value["state"] == "finished"
    assert folder.stop_request() is None


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]


def test_following_can_be_left_without_touching_the_run(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(Path("runs"), "one", record={"state": "running"})

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.cli.logs_command.time.sleep", interrupt)
    said = ostinato("logs", "one", "--follow")
    assert (said.code, "one goes on" in said.err) == (0, True)
    assert RunFolder(folder.path).stop_request() is None
