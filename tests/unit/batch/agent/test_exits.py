import pytest

from batch.agent.exits import NOT_STARTED, PEER, TIME_LIMIT, ProcessExit, judge
from batch.model import Cause


@pytest.mark.parametrize(
    ("end", "state", "cause"),
    [
        (ProcessExit(0, 0), "succeeded", None),
        (ProcessExit(0, 0, why="stop"), "succeeded", None),
        (ProcessExit(0, 75), "interrupted", None),
        (ProcessExit(0, 75, why="stop"), "interrupted", Cause.PREEMPTION),
        (ProcessExit(0, 143, why="stop"), "interrupted", Cause.PREEMPTION),
        (ProcessExit(0, 1, why="stop"), "interrupted", Cause.PREEMPTION),
        (ProcessExit(0, None, why="stop"), "interrupted", Cause.PREEMPTION),
        (ProcessExit(0, 143, why="signal"), "interrupted", Cause.INFRASTRUCTURE),
        (ProcessExit(0, 75, why=TIME_LIMIT), "interrupted", Cause.TIME_LIMIT),
        (ProcessExit(0, 143, why=TIME_LIMIT), "failed", Cause.TIME_LIMIT),
        (ProcessExit(0, 1), "failed", Cause.USER_CODE),
        (ProcessExit(0, 127), "failed", Cause.USER_CODE),
        (ProcessExit(0, 134), "failed", Cause.USER_CODE),
        (ProcessExit(0, 137), "failed", Cause.INFRASTRUCTURE),
        (ProcessExit(0, 137, out_of_memory=True), "failed", Cause.OUT_OF_MEMORY),
        (ProcessExit(0, 1, out_of_memory=True), "failed", Cause.USER_CODE),
        (ProcessExit(0, 143), "failed", Cause.INFRASTRUCTURE),
        (ProcessExit(0, is_gone=True), "failed", Cause.INFRASTRUCTURE),
        (ProcessExit(0, None, why=NOT_STARTED), "failed", Cause.LAUNCH),
    ],
)
def test_one_process(end: ProcessExit, state: str, cause: Cause | None) -> None:
    ended = judge([end])
    assert (ended.state, ended.cause, ended.exit_code) == (state, cause, end.code)
    assert ended.message or state == "succeeded"


def test_the_first_to_fail_by_itself_is_why_a_gang_ended() -> None:
    exits = [
        ProcessExit(0, 143, why=PEER, ended_s=1.0),
        ProcessExit(1, 1, ended_s=3.0),
        ProcessExit(2, 137, out_of_memory=True, ended_s=2.0),
        ProcessExit(3, 0, ended_s=0.0),
    ]
    ended = judge(exits)
    assert (ended.cause, ended.message) == (Cause.OUT_OF_MEMORY, "rank 2: SIGKILL, by the kernel for lack of memory")


def test_a_gang_that_was_stopped_is_interrupted_unless_one_failed() -> None:
    assert judge([ProcessExit(0, 75, why="stop"), ProcessExit(1, 0, why="stop")]).state == "interrupted"
    assert judge([ProcessExit(0, 75, why="stop"), ProcessExit(1, 1)]).cause is Cause.USER_CODE
    assert judge([ProcessExit(0, 0), ProcessExit(1, 0)]).state == "succeeded"
