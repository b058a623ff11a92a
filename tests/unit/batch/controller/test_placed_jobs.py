"""The board of the jobs that are placed, which the scheduler's thread asks while an agent's has it read them anew."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from unittest.mock import Mock

from batch.controller.board import Board
from batch.job_queue import Queue
from batch.model import JobSpec
from batch.records import Job
from batch.states import JobState

PLACED = Job(
    uid=1,
    spec=JobSpec(kind="command", payload={"command": ["x"]}),
    state=JobState.LAUNCHING,
    submitted_s=0.0,
    changed_s=0.0,
    attempt=1,
    fence=1,
    pool="local",
    nodes=("here",),
)


def test_whoever_asks_while_a_job_is_read_is_told_what_was_found() -> None:
    """An event about a job that the board does not have is of no interest: the order to stop would be lost."""
    queue = Mock(spec=Queue)
    queue.jobs.return_value = []
    board = Board(queue)
    asked: list[Future[bool]] = []
    with ThreadPoolExecutor(1) as other:

        def read(uid: int) -> Job:
            asked.append(other.submit(board.has, uid))
            wait(asked, 0.1)
            return PLACED

        queue.job.side_effect = read
        board.refresh([1])
    assert asked[0].result() is True
