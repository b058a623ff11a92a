"""Every event in every state: it moves as the table of moves allows, or it is refused."""

from typing import Any

import pytest
from fixtures_queue import command

from batch import events as ev
from batch.errors import BadRequestError, ConflictError, IllegalMoveError, StaleFenceError
from batch.model import Cause
from batch.records import Job
from batch.states import MOVES, JobState
from batch.transitions import after, attempt_of

S = JobState
ABOUT: dict[str, Any] = {"time_s": 9.0, "uid": 1}
ATTEMPT = ABOUT | {"attempt": 2}
EVENTS: list[ev.JobEvent] = [
    ev.JobHeld(**ABOUT), ev.JobReleased(**ABOUT), ev.JobChanged(**ABOUT, deadline_s=3.0), ev.JobRequeued(**ABOUT),
    ev.JobPlaced(**ABOUT, attempt=3, fence=3, pool="p", nodes=("n",)), ev.JobStarted(**ATTEMPT),
    ev.JobCheckpointed(**ATTEMPT, saved_s=8.0), ev.JobStopping(**ATTEMPT, then="queued", reason=""),
    ev.JobUnknown(**ATTEMPT), ev.JobAdopted(**ATTEMPT),
    ev.JobStopped(**ATTEMPT, cause=Cause.LAUNCH, then="queued", eligible_s=10.0),
    ev.JobStopped(**ATTEMPT, cause=Cause.LAUNCH, then="held", eligible_s=10.0),
    ev.JobEnded(**ATTEMPT, state="succeeded"), ev.JobEnded(**ATTEMPT, state="failed"),
    ev.JobEnded(**ATTEMPT, state="cancelled"), ev.JobEnded(**ABOUT, state="cancelled"),
]  # fmt: skip


def job(state: JobState, **fields: Any) -> Job:
    return Job(
        uid=1, spec=command(), state=state, submitted_s=0.0, changed_s=1.0, attempt=2, fence=2, placed_s=1.0, **fields
    )


@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("blocked", [False, True])
def test_nothing_moves_but_by_the_table(state: JobState, event: ev.JobEvent, blocked: bool) -> None:
    before = job(state)
    try:
        now = after(before, event, blocked=blocked)
    except ConflictError:
        return
    assert now.state is state or now.state in MOVES[state]
    if now.state is not state:
        assert now.changed_s == 9.0
    if state.is_placed and not now.state.is_placed:
        assert now.ended_s == 9.0
        assert (now.then, now.stop_now) == ("", False)
        assert attempt_of(now) is not None


@pytest.mark.parametrize("event", [event for event in EVENTS if getattr(event, "attempt", 0) == 2], ids=repr)
def test_nobody_speaks_for_an_attempt_that_is_over(event: ev.JobEvent) -> None:
    for state in JobState:
        if not state.is_placed:
            with pytest.raises(StaleFenceError):
                after(job(state), event)
    later = Job(**{**fields_of(job(S.RUNNING)), "attempt": 3})
    with pytest.raises(StaleFenceError, match="attempt 3 is the one that is placed"):
        after(later, event)


def fields_of(value: Job) -> dict[str, Any]:
    return {name: getattr(value, name) for name in Job.__dataclass_fields__}


def test_an_older_checkpoint_does_not_replace_a_newer_one() -> None:
    newest = after(job(S.RUNNING), ev.JobCheckpointed(**ATTEMPT, saved_s=8.0, step=80))
    assert after(newest, ev.JobCheckpointed(**ATTEMPT, saved_s=7.0, step=70)) == newest
    assert after(newest, ev.JobCheckpointed(**ATTEMPT, saved_s=9.0)).step == 80


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ev.JobStopping(**ATTEMPT, then="failed", reason=""), "then = 'failed' must be one of queued, held, cancelled"),
        (ev.JobStopped(**ATTEMPT, cause=Cause.LAUNCH, then="failed", eligible_s=0.0), "must be queued or held"),
        (ev.JobEnded(**ATTEMPT, state="running"), "must be one of succeeded, failed, cancelled"),
    ],
)
def test_goals_that_do_not_exist_are_refused(event: ev.JobEvent, words: str) -> None:
    with pytest.raises(IllegalMoveError, match=words):
        after(job(S.RUNNING), event)


def test_a_job_has_no_limit_of_members() -> None:
    with pytest.raises(BadRequestError, match="only a sweep"):
        after(job(S.QUEUED), ev.JobChanged(**ABOUT, max_running=3))
