"""The agent's attempts with a scripted launcher: what starts when, what is kept, what is forgotten."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batch.agent.attempts import Attempts
from batch.agent.held_leases import AgentFolder
from batch.agent.job_code import JobCode
from batch.agent.logs import LogStore
from batch.agent.messages import AttemptStatus, Forget, Limit, LogRequest, Stop
from batch.agent.node_processes import LocalProcesses
from batch.errors import ConflictError, ControllerUnreachable, LaunchError, NotFoundError
from batch.launcher import Ended, Lease, Progress
from batch.model import Cause, Node
from tests.fixtures_fake_controller import grant

Key = tuple[int, int]


class ScriptedLauncher:
    """Starts nothing: attempts run and end when the test says so. Outlives the agents of a test, as processes do."""

    def __init__(self, folder: Path) -> None:
        self.starts: list[Lease] = []
        self.stops: list[tuple[Key, bool]] = []
        self.limits: list[float | None] = []
        self.running: dict[Key, float] = {}
        self.ends: dict[Key, Ended] = {}
        self.refusal: Exception | None = None
        self._folder = folder

    def start(self, lease: Lease) -> None:
        self.starts.append(lease)
        if self.refusal is not None:
            raise self.refusal

    def started_s(self, lease: Lease) -> float | None:
        return self.running.get((lease.uid, lease.attempt))

    def poll(self, lease: Lease) -> Ended | None:
        return self.ends.get((lease.uid, lease.attempt))

    def progress(self, lease: Lease) -> Progress:
        return Progress(saved_s=5.0, step=lease.uid)

    def stop(self, lease: Lease, *, now: bool) -> None:
        self.stops.append(((lease.uid, lease.attempt), now))

    def limit(self, lease: Lease) -> None:
        self.limits.append(lease.time_limit_s)

    def log_paths(self, lease: Lease) -> Mapping[int, Path]:
        path = self._folder / f"{lease.uid}.log"
        path.write_text("said\n")
        return {0: path}


@pytest.fixture
def launcher(tmp_path: Path) -> ScriptedLauncher:
    return ScriptedLauncher(tmp_path)


Restart = Callable[[], Attempts]


@pytest.fixture
def restart(tmp_path: Path, launcher: ScriptedLauncher) -> Iterator[Restart]:
    """Return what makes an agent's attempts, as each new process of it does; the one before is left as it is."""
    living: list[tuple[AgentFolder, Attempts]] = []

    def leave() -> None:
        for folder, attempts in living:
            attempts.close()
            folder.close()
        living.clear()

    def make() -> Attempts:
        leave()
        folder = AgentFolder(tmp_path / "agent")
        processes = LocalProcesses([Node("here", 2, 4), Node("there", 2, 4)])
        attempts = Attempts(
            folder, {"command": launcher}, processes, JobCode(tmp_path / "code", no_code), LogStore(tmp_path / "logs")
        )
        living.append((folder, attempts))
        return attempts

    yield make
    leave()


def no_code(address: str) -> bytes:
    raise NotFoundError(f"no code {address}")


def status(attempts: Attempts, uid: int) -> AttemptStatus:
    return next(each for each in attempts.statuses() if each.uid == uid)


def look_until(attempts: Attempts, holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < deadline_s
        attempts.look()
        time.sleep(attempts.next_look_s())


def test_no_more_than_a_few_start_at_once_on_a_node(restart: Restart, launcher: ScriptedLauncher) -> None:
    attempts = restart()
    for uid in range(1, 6):
        attempts.take(grant(uid))
    attempts.take(grant(6, nodes=("there",)))
    attempts.look()
    assert [lease.uid for lease in launcher.starts] == [1, 2, 6]
    launcher.running[1, 1] = 7.0
    look_until(attempts, lambda: len(launcher.starts) == 4)
    assert launcher.starts[-1].uid == 3
    assert status(attempts, 1).started_s == 7.0
    assert status(attempts, 1).progress == Progress(saved_s=5.0, step=1)


def test_an_attempt_waits_for_accelerators_and_for_the_end_of_the_one_before(
    restart: Restart, launcher: ScriptedLauncher
) -> None:
    attempts = restart()
    attempts.take(grant(1, gpus=2))
    attempts.take(grant(1, attempt=2))
    attempts.look()
    launcher.running[1, 1] = 1.0
    look_until(attempts, lambda: status(attempts, 1).started_s is not None)
    attempts.take(grant(3, gpus=1))
    attempts.look()
    assert [(lease.uid, lease.attempt) for lease in launcher.starts] == [(1, 1)]
    launcher.ends[1, 1] = Ended(state="failed", exit_code=1)
    look_until(attempts, lambda: len(launcher.starts) == 3)
    given = {(lease.uid, lease.attempt): lease.devices for lease in launcher.starts}
    assert given == {(1, 1): ((0, 1),), (1, 2): ((),), (3, 1): ((0,),)}


def test_a_restarted_agent_goes_on_where_the_last_one_was(restart: Restart, launcher: ScriptedLauncher) -> None:
    attempts = restart()
    for uid in (1, 2, 3, 4):
        attempts.take(grant(uid, gpus=uid % 2))
    attempts.look()
    attempts.stop(Stop(uid=2, attempt=1))
    attempts.stop(Stop(uid=2, attempt=1))
    attempts.stop(Stop(uid=4, attempt=1))
    again = restart()
    assert [(each.uid, each.stop) for each in again.statuses()] == [(1, None), (2, "save"), (3, None), (4, None)]
    assert status(again, 4).ended == Ended(
        state="interrupted", cause=Cause.PREEMPTION, message="stopped before it ran"
    )
    assert launcher.stops == [((2, 1), False), ((2, 1), False)]
    assert launcher.starts[-2].devices == ((0,),)
    again.stop(Stop(uid=2, attempt=1, now=True))
    assert launcher.stops[-1] == ((2, 1), True)


def test_what_has_ended_is_told_until_it_is_forgotten_and_its_log_outlives_it(
    restart: Restart, launcher: ScriptedLauncher, tmp_path: Path
) -> None:
    attempts = restart()
    attempts.take(grant(1))
    attempts.look()
    attempts.forget(Forget(uid=1, attempt=1))
    assert len(attempts.statuses()) == 1  # it runs: nobody can have recorded its end
    launcher.ends[1, 1] = Ended(state="succeeded", exit_code=0)
    look_until(attempts, lambda: status(attempts, 1).ended is not None)
    assert status(attempts, 1).log_bytes == {0: 5}
    attempts.take(grant(1))  # the lease once more, late: nothing is run twice
    attempts.look()
    assert len(launcher.starts) == 1
    attempts.forget(Forget(uid=1, attempt=1))
    look_until(attempts, lambda: not list((tmp_path / "agent/leases").glob("[0-9]*.json")))
    assert attempts.statuses() == ()
    (tmp_path / "1.log").unlink()
    chunk = attempts.read_log(LogRequest(key="k", uid=1, attempt=1, rank=0, offset=1))
    assert (chunk.data, chunk.is_over) == (b"aid\n", True)


def test_the_folder_of_a_job_that_is_over_may_go_until_it_is_tried_again(
    restart: Restart, launcher: ScriptedLauncher, tmp_path: Path
) -> None:
    attempts, mark = restart(), tmp_path / "agent/jobs/1/over.json"
    mark.parent.mkdir(parents=True)
    for number, is_over in ((1, False), (2, True)):
        attempts.take(grant(1, attempt=number))
        attempts.look()
        launcher.ends[1, number] = Ended(state="interrupted")
        look_until(attempts, lambda: status(attempts, 1).ended is not None)
        attempts.forget(Forget(uid=1, attempt=number, is_over=is_over))
        look_until(attempts, lambda: not list((tmp_path / "agent/leases").glob("[0-9]*.json")))
        assert mark.exists() == is_over
    attempts.take(grant(1, attempt=3))
    assert not mark.exists()


def test_what_cannot_start_has_failed_to_launch_once_all_of_it_is_over(
    restart: Restart, launcher: ScriptedLauncher
) -> None:
    launcher.refusal = LaunchError("there is no node")
    attempts = restart()
    attempts.take(grant(1))
    attempts.take(grant(2, code="f" * 64))
    attempts.look()
    assert launcher.stops == [((1, 1), True)]
    assert status(attempts, 1).ended is None
    launcher.ends[1, 1] = Ended(state="interrupted")
    look_until(attempts, lambda: all(each.ended is not None for each in attempts.statuses()))
    assert status(attempts, 1).ended == Ended(state="failed", cause=Cause.LAUNCH, message="there is no node")
    assert status(attempts, 2).ended == Ended(
        state="failed", cause=Cause.LAUNCH, message=f"its code: no code {'f' * 64}"
    )


def test_code_that_cannot_be_asked_for_now_is_asked_for_again(
    restart: Restart, launcher: ScriptedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception] = [ControllerUnreachable("away"), ControllerUnreachable("still away")]

    def provide(_: JobCode, address: str, job_folder: Path) -> Path:
        if answers:
            raise answers.pop()
        return job_folder / address

    monkeypatch.setattr(JobCode, "provide", provide)
    attempts = restart()
    attempts.take(grant(1, code="f" * 64))
    look_until(attempts, lambda: bool(launcher.starts))
    assert (answers, status(attempts, 1).ended) == ([], None)
    assert launcher.starts[0].code_path == launcher.starts[0].folder / ("f" * 64)


def test_a_full_disk_under_one_attempt_does_not_stop_the_others(
    restart: Restart, launcher: ScriptedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = restart()
    attempts.take(grant(1))
    attempts.take(grant(2))
    attempts.look()
    poll = launcher.poll

    def full(lease: Lease) -> Ended | None:
        if lease.uid == 1:
            raise OSError(28, "No space left on device")
        return poll(lease)

    monkeypatch.setattr(launcher, "poll", full)
    launcher.ends[2, 1] = Ended(state="succeeded", exit_code=0)
    look_until(attempts, lambda: status(attempts, 2).ended is not None)
    assert status(attempts, 1).ended is None


def test_numbers_that_are_none_are_not_told(
    restart: Restart, launcher: ScriptedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = restart()
    monkeypatch.setattr(launcher, "progress", lambda _: Progress(saved_s=float("inf"), step=10**30))
    attempts.take(grant(1))
    launcher.ends[1, 1] = Ended(state="succeeded", metrics={"loss": float("nan"), "accuracy": 0.5})
    look_until(attempts, lambda: status(attempts, 1).ended is not None)
    told = status(attempts, 1)
    assert (told.progress, told.ended) == (Progress(), Ended(state="succeeded", metrics={"accuracy": 0.5}))


def test_nothing_of_another_job_or_placement_with_the_same_number_is_taken_over(
    restart: Restart, launcher: ScriptedLauncher, tmp_path: Path
) -> None:
    attempts = restart()

    def runs(**changes: Any) -> Path:
        attempts.take(grant(1, **changes))
        look_until(attempts, lambda: len(launcher.starts) > 0)
        folder = launcher.starts.pop().folder
        launcher.ends[1, 1] = Ended(state="failed", exit_code=1)
        look_until(attempts, lambda: status(attempts, 1).ended is not None)
        return folder

    job = runs(fence=7, born_s=1.0)
    (job / "run").mkdir()
    (job / "attempts/1/exit.json").touch()
    (job / "attempts/1/checkpoint.json").write_text('{"path": "/ckpt", "saved_s": 1.0, "step": 3}')
    for fence, born_s, kept in ((8, 1.0, {"attempts", "job.json", "run"}), (9, 2.0, {"attempts", "job.json"})):
        attempts.forget(Forget(uid=1, attempt=1))
        look_until(attempts, lambda: not list((tmp_path / "agent/leases").glob("[0-9]*.json")))
        del launcher.ends[1, 1]
        assert runs(fence=fence, born_s=born_s) == job
        assert {path.name for path in job.iterdir()} == kept
        assert not (job / "attempts/1/exit.json").exists()
        assert (job / "attempts/1/checkpoint.json").exists() == (born_s == 1.0)
    assert (job.parent / ".1-before-1/attempts/.1-before-1/exit.json").exists()


def test_a_time_limit_can_be_changed_before_and_after_the_start(restart: Restart, launcher: ScriptedLauncher) -> None:
    attempts = restart()
    attempts.take(grant(1, time_limit_s=60.0))
    attempts.limit(Limit(uid=1, attempt=1, time_limit_s=50.0))
    attempts.look()
    assert (launcher.starts[0].time_limit_s, launcher.limits) == (50.0, [])
    attempts.limit(Limit(uid=1, attempt=1, time_limit_s=40.0))
    attempts.limit(Limit(uid=9, attempt=1, time_limit_s=40.0))
    assert (status(restart(), 1).time_limit_s, launcher.limits) == (40.0, [40.0])


def test_what_a_full_disk_does_not_take_is_given_back_or_tried_again(
    restart: Restart, launcher: ScriptedLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = restart()
    attempts.take(grant(1))
    attempts.take(grant(2))
    launcher.running[1, 1] = 1.0
    attempts.look()
    stop = launcher.stop
    with monkeypatch.context() as full:
        full.setattr("batch.agent.held_leases.replace_json", no_room)
        full.setattr(launcher, "stop", no_room)
        attempts.take(grant(3))
        attempts.stop(Stop(uid=1, attempt=1))
        attempts.look()
        assert "ENOSPC" in attempts.trouble.text
        assert status(attempts, 3).ended == Ended(
            state="failed", cause=Cause.INFRASTRUCTURE, message=attempts.trouble.text
        )
        assert status(attempts, 1).stop == "save"
    monkeypatch.setattr(launcher, "stop", stop)
    look_until(attempts, lambda: launcher.stops == [((1, 1), False)])
    attempts.trouble.probe()
    assert attempts.trouble.text == ""


def no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_folder_is_one_agents_and_one_queues(tmp_path: Path, restart: Restart) -> None:
    attempts = restart()
    attempts.take(grant(1))
    with pytest.raises(ConflictError, match="another agent runs there"):
        AgentFolder(tmp_path / "agent")
    other = AgentFolder(tmp_path / "other")
    other.belong_to("")
    other.belong_to("q1")
    other.belong_to("q1")
    name, sequence = other.agent, other.first_sequence
    other.close()
    again = AgentFolder(tmp_path / "other")
    assert (again.agent, again.first_sequence > sequence) == (name, True)
    with pytest.raises(ConflictError, match="jobs of another queue"):
        again.belong_to("q2")
    again.close()
