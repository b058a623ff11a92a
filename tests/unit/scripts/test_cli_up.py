"""`up`, `submit` that starts a controller, `down`: real processes, on loopback, in a folder of their own."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from fixtures_cli import Ostinato, crash
from fixtures_controller import DEADLINE_S, wait_until

from batch.agent.process_identity import ProcessIdentity
from batch.errors import ControllerError
from batch.state_folder import ControllerRecord, StateFolder
from scripts.embedded import agent_pid, start_controller, stop_controller


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    for name in ("OSTINATO_CONTROLLER", "OSTINATO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    folder = StateFolder.of_user()
    yield folder
    stop_controller(folder)


def test_a_submission_starts_what_it_needs_and_the_job_runs(ostinato: Ostinato, home: StateFolder) -> None:
    said = ostinato("submit", "-o", "json", "--no-code", "--", "sh", "-c", "echo $OSTINATO_JOB")
    assert (said.code, "started a controller of your own" in said.err) == (0, True), said.err
    job = said.value["id"]
    assert ostinato("wait", job, "--timeout", "240s").code == 0
    assert ostinato("logs", job).out == f"{job}\n"
    for private in (home.token_path, home.agent_token_path, home.record_path):
        assert private.stat().st_mode & 0o077 == 0
    assert home.path.stat().st_mode & 0o077 == 0
    assert ostinato("status", "-o", "json").value["pools"] == "local"
    assert ostinato("down").out == "ended the agent and the controller; jobs that run go on\n"
    assert ostinato("down").out.startswith("no controller")
    assert ostinato("status").code == 4


def test_a_job_outlives_controller_and_agent(ostinato: Ostinato, home: StateFolder, tmp_path: Path) -> None:
    assert ostinato("up", "--detach").code == 0
    flag = tmp_path / "go"
    waits = f"until [ -e {flag} ]; do sleep .05; done"
    job = ostinato("submit", "-o", "json", "--no-code", "--", "sh", "-c", waits).value["id"]
    wait_until(lambda: ostinato("show", job, "-o", "json").value["state"] == "running")
    record = home.record()
    assert record is not None
    crash(record.pid)
    crash(agent_pid(home))
    flag.touch()
    assert ostinato("up", "--detach", "-o", "json").value["pid"] != record.pid
    assert ostinato("wait", job, "--timeout", "240s").code == 0
    assert len(ostinato("show", job, "-o", "json").value["attempts"]) == 1


def test_several_starts_at_once_are_one(home: StateFolder) -> None:
    records = []
    threads = [
        threading.Thread(target=lambda: records.append(start_controller(home, with_agent=False))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert (len(records), len({record.pid for record in records})) == (3, 1)


def test_a_record_of_a_later_version_is_read_and_a_torn_one_is_not(home: StateFolder) -> None:
    home.create()
    record = ControllerRecord(url="http://127.0.0.1:1", pid=1, database="x.db", started_s=0.0)
    home.record_path.write_text(json.dumps({**asdict(record), "region": "later"}))
    assert home.record() == record
    for torn in ('{"url": "x"}', "[]", "{"):
        home.record_path.write_text(torn)
        with pytest.raises(ControllerError, match="is damaged"):
            home.record()
    home.record_path.unlink()


def test_a_controller_that_cannot_start_says_why(home: StateFolder) -> None:
    with pytest.raises(ControllerError, match="token create"):
        start_controller(home, host="0.0.0.0", with_agent=False)


def test_one_that_serves_elsewhere_is_told_and_a_folder_that_cannot_be_written_too(
    ostinato: Ostinato, home: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start_controller(home, with_agent=False)
    for words in (("--port", "1"), ("--db", "other.db"), ("--host", "::1")):
        said = ostinato("up", "-d", "--no-agent", *words)
        told = f"at {record.url} already, and not with {' '.join(words)}"
        assert (said.code, told in said.err) == (4, True), said.err
    assert ostinato("up", "-d", "--no-agent", "--port", record.url.rpartition(":")[2]).code == 0
    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", Mock(side_effect=OSError(errno.EROFS, "Read-only file system")))
        said = ostinato("down")
    assert (said.code, "agent.pid cannot be removed (Read-only file system)" in said.err) == (4, True), said.err


def test_a_process_that_has_the_number_of_ours_is_left_alone(home: StateFolder) -> None:
    record = start_controller(home, with_agent=False)
    ours = ProcessIdentity.parse(record.process)
    assert ours.pid == record.pid
    home.write_record(replace(record, process=str(ours._replace(start_ticks=1))))
    (home.path / "agent.pid").write_text(f"{ours._replace(boot='an earlier one')}\n")
    assert (agent_pid(home), stop_controller(home), ours.is_alive()) == (None, [], True)
    for by_an_earlier_version in (os.getpid(), record.pid):
        home.write_record(replace(record, pid=by_an_earlier_version, process=""))
        assert stop_controller(home) == ["the controller"] * (by_an_earlier_version == record.pid)
