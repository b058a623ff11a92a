"""The writer's thread: who shares a commit, who waits for whom, and what happens when something goes wrong."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures_queue import command

from batch.errors import StoreError
from batch.events import Event, TeamSet
from batch.job_queue import Queue
from batch.model import Team
from batch.recording import record
from batch.writer import Request, Writer

Group = list[Request[None]]


DEADLINE_S = 60.0


class Commits:
    """Commits that wait for `go`, and remember what they were given. `begun` is set when the first one is under way."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, group: Group) -> None:
        self.begun.set()
        self.go.wait(DEADLINE_S)
        self.groups.append(len(group))
        for request in group:
            request.future.set_result(request.plan(None))


def test_requests_during_a_commit_share_the_next() -> None:
    commits = Commits()
    writer: Writer[None] = Writer(commits)
    first = writer.ask(lambda _: "first")
    commits.begun.wait(DEADLINE_S)
    rest = [writer.ask(lambda _, number=number: number) for number in range(50)]
    commits.go.set()
    assert (first.result(DEADLINE_S), [future.result(DEADLINE_S) for future in rest]) == ("first", list(range(50)))
    writer.close()
    assert commits.groups == [1, 50]


def test_a_group_is_bounded() -> None:
    commits = Commits()
    writer: Writer[None] = Writer(commits)
    futures = [writer.ask(lambda _: None, weight=1000) for _ in range(20)]
    commits.go.set()
    for future in futures:
        future.result(DEADLINE_S)
    writer.close()
    assert max(commits.groups) <= 5


def test_closing_commits_what_was_asked_for() -> None:
    commits = Commits()
    writer: Writer[None] = Writer(commits)
    futures = [writer.ask(lambda _: None) for _ in range(10)]
    commits.go.set()
    writer.close()
    assert all(future.done() for future in futures)
    with pytest.raises(StoreError, match="the queue is closed"):
        writer.ask(lambda _: None)


def test_a_commit_that_raises_stops_the_writer_and_says_so_to_everybody() -> None:
    all_asked = threading.Event()

    def commit(group: Group) -> None:
        all_asked.wait(DEADLINE_S)
        raise RuntimeError("out of luck")

    writer: Writer[None] = Writer(commit)
    futures = [writer.ask(lambda _: None) for _ in range(5)]
    all_asked.set()
    for future in futures:
        with pytest.raises(StoreError, match="out of luck"):
            future.result(DEADLINE_S)
    with pytest.raises(StoreError, match="the queue is closed"):
        writer.ask(lambda _: None)
    writer.close()


@contextmanager
def busy(queue: Queue) -> Iterator[None]:
    """Keep the writer at a commit, so that what is asked for meanwhile goes into one group, the next."""
    begun, go = threading.Event(), threading.Event()

    def waits(_: object) -> None:
        begun.set()
        go.wait(DEADLINE_S)

    written = queue._writer.ask(waits)
    assert begun.wait(DEADLINE_S)
    try:
        yield
    finally:
        go.set()
        written.result(DEADLINE_S)


def test_a_request_that_was_cancelled_in_time_is_not_written(queue: Queue) -> None:
    with busy(queue):
        kept, dropped = queue.submit_soon([command("kept")]), queue.submit_soon([command("dropped")])
        assert dropped.cancel()
    kept.result(DEADLINE_S)
    assert [job.spec.name for job in queue.jobs()] == ["kept"]


def test_a_listener_that_raises_stops_the_queue_after_the_acknowledgement(queue: Queue) -> None:
    def listener(_: list[tuple[int, Event]]) -> None:
        raise RuntimeError("deaf")

    queue.listen(listener)
    uids = queue.submit([command()])
    with pytest.raises(StoreError, match="closed"):
        wait_until_refused(queue)
    assert queue.job(uids[0]).uid == uids[0]


def wait_until_refused(queue: Queue) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        queue.submit([command()])


def test_a_defect_in_one_request_is_its_own(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Any) -> None:
        raise KeyError("a defect")

    with busy(queue):
        before, bad, after = queue.submit_soon([command()]), queue._writer.ask(broken), queue.submit_soon([command()])
    assert after.result(DEADLINE_S)[0] == before.result(DEADLINE_S)[0] + 1
    with pytest.raises(KeyError):
        bad.result(DEADLINE_S)
    assert "nobody foresaw" in caplog.text


def test_many_threads_get_uids_of_their_own(queue: Queue) -> None:
    found: list[int] = []

    def submit() -> None:
        for _ in range(20):
            found.extend(queue.submit([command(), command()]))

    threads = [threading.Thread(target=submit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(found) == len(set(found)) == 640
    assert len(queue.jobs()) == 640


def test_what_cannot_be_written_at_all_stops_nobody_else(tmp_path: Path) -> None:
    with Queue.open(str(tmp_path / "queue.db")) as queue:
        with pytest.raises(StoreError, match="nothing of this commit was written"):
            queue.set_team(Team(name="half a pair: \ud800"))
        assert queue.submit([command("after it")]) == [1]
        assert sorted(queue.teams()) == ["default"]


def test_what_cannot_be_written_is_refused_alone(queue: Queue) -> None:
    with busy(queue):
        before = queue.submit_soon([command("before")])
        bad = queue._writer.ask(lambda ledger: record(ledger, [TeamSet(time_s=0.0, team=Team(name="\ud800"))]))
        after = queue.submit_soon([command("after")])
    assert (before.result(DEADLINE_S), after.result(DEADLINE_S)) == ([1], [2])
    with pytest.raises(StoreError, match="nothing of this commit was written"):
        bad.result(DEADLINE_S)
    assert [job.spec.name for job in queue.jobs()] == ["after", "before"]
    assert queue.failure is None
