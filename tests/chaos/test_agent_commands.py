"""Commands under a real agent process and a controller in memory: outcomes, stops, gangs, logs, adoption."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.agent.atomic_files import read_json
from batch.agent.messages import LogRequest
from batch.agent.process_identity import ProcessIdentity, session_members
from batch.code_bundle import pack
from batch.model import Cause
from tests.fixtures_agent import AgentProcess
from tests.fixtures_fake_controller import FakeController, grant, lines, wait_until


@pytest.fixture
def controller() -> Iterator[FakeController]:
    controller = FakeController()
    yield controller
    controller.close()


@pytest.fixture
def agent(tmp_path: Path, controller: FakeController) -> Iterator[AgentProcess]:
    agent = AgentProcess(tmp_path / "agent", controller.url)
    agent.start()
    yield agent
    agent.kill()
    agent.kill_jobs()


def shell(text: str) -> tuple[str, str, str]:
    return "sh", "-c", text


def test_exit_codes_are_told_by_cause(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(
        grant(1, "true"),
        grant(2, *shell("exit 75")),
        grant(3, *shell("exit 3")),
        grant(4, *shell("kill -SEGV $$")),
        grant(5, *shell("kill -KILL $$")),
        grant(6, "no-such-program"),
        grant(7, kind="unheard-of"),
        grant(8, "true", payload={"command": "true"}),
    )
    ends = {uid: controller.wait_for_end(uid) for uid in range(1, 9)}
    assert {uid: (end.state, end.exit_code, end.cause) for uid, end in ends.items()} == {
        1: ("succeeded", 0, None),
        2: ("interrupted", 75, None),
        3: ("failed", 3, Cause.USER_CODE),
        4: ("failed", 139, Cause.USER_CODE),
        5: ("failed", 137, Cause.INFRASTRUCTURE),
        6: ("failed", 127, Cause.USER_CODE),
        7: ("failed", None, Cause.LAUNCH),
        8: ("failed", None, Cause.LAUNCH),
    }
    assert "this pool runs command" in ends[7].message
    assert "payload.command = 'true': must be a list" in ends[8].message
    # Nothing is left of leases whose ends are durable.
    wait_until(lambda: not list(agent.folder.glob("leases/[0-9]*.json")), "leases to be forgotten")


def test_a_stopped_job_saves_within_its_grace_and_finds_its_checkpoint_again(
    controller: FakeController, agent: AgentProcess
) -> None:
    saving = (
        "from batch.agent.reporting import report_checkpoint; import os, signal, sys, time; "
        "f = lambda *_: (report_checkpoint('/ckpt/7', step=7), sys.exit(75)); "
        "signal.signal(signal.SIGTERM, f); print(os.environ.get('OSTINATO_RESUME_FROM'), flush=True); "
        "sys.exit(0) if 'OSTINATO_RESUME_FROM' in os.environ else time.sleep(60)"
    )
    payload = {"command": [sys.executable, "-c", saving], "environment": {"PYTHONPATH": str(Path.cwd())}}
    controller.place(grant(1, payload=payload))
    log = agent.folder / "jobs/1/attempts/1/rank-0.log"
    wait_until(lambda: lines(log) == ["None"], "the first attempt to speak")
    controller.stop(1)
    ended = controller.wait_for_end(1)
    assert (ended.state, ended.cause, ended.exit_code) == ("interrupted", Cause.PREEMPTION, 75)
    [told, *_] = [each for request in controller.requests for each in request.attempts if each.ended is not None]
    assert told.progress.step == 7
    controller.place(grant(1, payload=payload, attempt=2))
    assert controller.wait_for_end(1, attempt=2).state == "succeeded"
    assert lines(agent.folder / "jobs/1/attempts/2/rank-0.log") == ["/ckpt/7"]


def test_who_ignores_sigterm_is_killed_after_its_grace_with_all_it_started(
    controller: FakeController, agent: AgentProcess
) -> None:
    stubborn = shell("trap '' TERM; echo deaf; sleep 300 & while true; do sleep 0.1; done")
    controller.place(grant(1, *stubborn, grace_s=0.5), grant(2, *stubborn, grace_s=3600.0))
    for uid in (1, 2):
        log = agent.folder / f"jobs/{uid}/attempts/1/rank-0.log"
        wait_until(lambda log=log: lines(log) == ["deaf"], "a job to ignore SIGTERM")
    controller.stop(1)
    controller.stop(2, now=True)
    for uid in (1, 2):
        ended = controller.wait_for_end(uid)
        assert (ended.state, ended.cause, ended.exit_code) == ("interrupted", Cause.PREEMPTION, 137)
    started = read_json(agent.folder / "jobs/1/attempts/1/rank-0/started.json")
    assert started is not None
    runner = ProcessIdentity.parse(started["process"])
    wait_until(lambda: not list(session_members(runner.pid)), "the session to be empty")


def test_a_time_limit_ends_a_job(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, "sleep", "300", time_limit_s=0.3, grace_s=0.5))
    ended = controller.wait_for_end(1)
    assert (ended.state, ended.cause) == ("failed", Cause.TIME_LIMIT)


def test_a_gang_knows_its_place_and_falls_together(controller: FakeController, agent: AgentProcess) -> None:
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OSTINATO_NODE", "OSTINATO_NODES", "OSTINATO_FENCE")
    told = shell("echo " + " ".join(f"${name}" for name in names) + " gpu=$CUDA_VISIBLE_DEVICES")
    controller.place(grant(1, *told, nodes=("here", "there"), gpus=1, fence=4))
    assert controller.wait_for_end(1).state == "succeeded"
    first, second = (lines(agent.folder / f"jobs/1/attempts/1/rank-{rank}.log")[0].split() for rank in range(2))
    assert first == ["0", "2", "127.0.0.1", first[3], "here", "here,there", "4", "gpu=0"]
    assert second == ["1", "2", "127.0.0.1", first[3], "there", "here,there", "4", "gpu=0"]
    failing = shell("test $RANK = 0 && exec sleep 300; sleep 0.2; exit 9")
    controller.place(grant(2, *failing, nodes=("here", "there"), grace_s=1.0))
    ended = controller.wait_for_end(2)
    assert (ended.state, ended.exit_code, ended.cause) == ("failed", 9, Cause.USER_CODE)
    assert ended.message == "rank 1: exit code 9"


def test_accelerators_are_handed_out_once(controller: FakeController, agent: AgentProcess) -> None:
    waiting = shell("echo $CUDA_VISIBLE_DEVICES; sleep 300")
    controller.place(*(grant(uid, *waiting, gpus=1) for uid in (1, 2, 3)))
    controller.wait_until_started(1, 2)
    logs = [agent.folder / f"jobs/{uid}/attempts/1/rank-0.log" for uid in (1, 2, 3)]
    wait_until(lambda: sorted(lines(logs[0]) + lines(logs[1])) == ["0", "1"], "both to have one")
    assert controller.statuses[3].started_s is None
    controller.stop(3)
    assert controller.wait_for_end(3).message == "stopped before it ran"


def test_an_agent_that_comes_back_adopts_what_runs_and_what_has_ended(
    controller: FakeController, agent: AgentProcess
) -> None:
    controller.place(grant(1, "sleep", "300"), grant(2, *shell("while ! test -e go; do sleep 0.05; done; exit 4")))
    controller.wait_until_started(1, 2)
    agent.kill()
    (agent.folder / "jobs/2/run/go").touch()
    wait_until(lambda: (agent.folder / "jobs/2/attempts/1/rank-0/exit.json").exists(), "job 2 to end alone")
    agent.start()
    assert controller.wait_for_end(2).exit_code == 4
    before = controller.requests[-1].sequence
    wait_until(lambda: controller.requests[-1].sequence > before, "another request")
    assert controller.statuses[1].ended is None
    assert agent.leave() == 0
    agent.start()
    controller.stop(1)
    assert controller.wait_for_end(1).state == "interrupted"


def test_a_vanished_runner_is_noticed_and_what_it_started_is_killed(
    controller: FakeController, agent: AgentProcess
) -> None:
    controller.place(grant(1, *shell("sleep 300 & wait")))
    controller.wait_until_started(1)
    runner = ProcessIdentity.parse((read_json(agent.folder / "jobs/1/attempts/1/rank-0/started.json") or {})["process"])
    wait_until(lambda: len(list(session_members(runner.pid))) == 3, "runner, shell and sleep")
    os.kill(runner.pid, signal.SIGKILL)
    ended = controller.wait_for_end(1)
    assert (ended.state, ended.cause) == ("failed", Cause.INFRASTRUCTURE)
    wait_until(lambda: not list(session_members(runner.pid)), "the session to be empty")


def test_a_job_whose_folder_is_removed_goes_on_and_runs_once(
    controller: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    said, go = tmp_path / "said", tmp_path / "go"
    controller.place(grant(1, *shell(f"echo once >> {said}; while ! test -e {go}; do sleep 0.05; done")))
    wait_until(lambda: lines(said) == ["once"], "the job to begin")
    controller.wait_until_started(1)
    shutil.rmtree(agent.folder / "jobs/1")
    controller.place(grant(2, *shell("true")))
    assert controller.wait_for_end(2).state == "succeeded"  # looked at after it was removed
    assert (1, 1) not in controller.ends
    go.touch()
    assert (controller.wait_for_end(1).state, lines(said)) == ("succeeded", ["once"])


def test_a_controller_that_is_away_stops_nothing(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, *shell("while ! test -e go; do sleep 0.05; done; echo done")))
    controller.wait_until_started(1)
    controller.is_away = True
    (agent.folder / "jobs/1/run/go").touch()
    wait_until(lambda: lines(agent.folder / "jobs/1/attempts/1/rank-0.log") == ["done"], "the job to go on alone")
    controller.is_away = False
    assert controller.wait_for_end(1).state == "succeeded"


def test_a_stale_attempt_is_ended_before_the_next_one_starts(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, *shell("echo one; sleep 300"), fence=1))
    controller.wait_until_started(1)
    controller.place(grant(1, *shell("ls -d ../attempts/1/rank-0/exit.json"), attempt=2, fence=2))
    assert controller.wait_for_end(1, attempt=2).state == "succeeded"
    assert (1, 1) not in controller.ends


def test_logs_are_read_while_it_runs_and_afterwards(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, *shell("echo first; while ! test -e go; do sleep 0.05; done; echo second >&2")))
    log = agent.folder / "jobs/1/attempts/1/rank-0.log"
    wait_until(lambda: lines(log) == ["first"], "its first line")
    chunk = controller.ask_log(LogRequest(key="a", uid=1, attempt=1, rank=0, offset=0))
    assert (chunk.data, chunk.size_bytes, chunk.is_over) == (b"first\n", 6, False)
    (agent.folder / "jobs/1/run/go").touch()
    controller.wait_for_end(1)
    wait_until(lambda: not list(agent.folder.glob("leases/[0-9]*.json")), "the lease to be forgotten")
    chunk = controller.ask_log(LogRequest(key="b", uid=1, attempt=1, rank=0, offset=6))
    assert (chunk.data, chunk.is_over) == (b"second\n", True)
    assert controller.ask_log(LogRequest(key="c", uid=1, attempt=1, rank=0, offset=-3, limit_bytes=2)).data == b"nd"
    assert controller.ask_log(LogRequest(key="d", uid=1, attempt=9, rank=0, offset=0)).size_bytes is None


def test_a_job_runs_the_code_that_was_submitted_in_its_own_copy(
    tmp_path: Path, controller: FakeController, agent: AgentProcess
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/say.py").write_text("print('as submitted'); open('mine', 'x')")
    bundle = pack(tmp_path / "code")
    controller.codes[bundle.address] = bundle.data
    (tmp_path / "code/say.py").write_text("print('changed')")
    controller.place(*(grant(uid, sys.executable, "say.py", code=bundle.address) for uid in (1, 2)))
    for uid in (1, 2):
        assert controller.wait_for_end(uid).state == "succeeded"
        assert lines(agent.folder / f"jobs/{uid}/attempts/1/rank-0.log") == ["as submitted"]
    controller.place(grant(3, "true", code="0" * 64))
    ended = controller.wait_for_end(3)
    assert ended.cause is Cause.LAUNCH
    assert "no such code" in ended.message


def test_another_queue_is_not_obeyed_and_what_runs_goes_on(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, "sleep", "300"))
    controller.wait_until_started(1)
    ours, theirs = controller.placed[1], grant(2, "true")
    controller.queue, controller.revision = "q2", 1
    controller.placed = {2: theirs}
    asked = len(controller.requests)
    wait_until(lambda: len(controller.requests) > asked + 3, "the agent to go on asking")
    runner = ProcessIdentity.parse((read_json(agent.folder / "jobs/1/attempts/1/rank-0/started.json") or {})["process"])
    assert runner.is_alive()
    assert not agent.has_left()
    assert not (agent.folder / "jobs/2").exists()
    assert {request.queue for request in controller.requests[asked:]} == {"q1"}
    # The database is brought back, and all goes on.
    controller.queue, controller.revision = "q1", 100
    controller.placed = {1: ours}
    controller.stop(1, now=True)
    assert controller.wait_for_end(1).state == "interrupted"


def test_a_time_limit_that_is_changed_later_holds(controller: FakeController, agent: AgentProcess) -> None:
    controller.place(grant(1, "sleep", "600"), grant(2, "sleep", "600", time_limit_s=600.0))
    controller.wait_until_started(1, 2)
    controller.limit(1, 0.3)
    controller.limit(2, 0.3)
    ends = [controller.wait_for_end(uid) for uid in (1, 2)]
    assert [(end.state, end.cause) for end in ends] == [("failed", Cause.TIME_LIMIT)] * 2
