from dataclasses import replace

import pytest

from trainer.auto_resume import GiveUp, Retry, RetryHistory, decide
from trainer.config import RetryBudgets
from trainer.failures import Cause, Failure, root_cause

BUG = Failure(1, Cause.USER_CODE, "KeyError: 'x'", step=7, traceback="Traceback: line 3", fingerprint="f1")
DEATH = Failure(0, Cause.INFRASTRUCTURE, "the process died")
BUDGETS = RetryBudgets(infrastructure=2, preemption=1, out_of_memory=1, user_code=3)


def test_a_death_is_retried_until_its_budget_is_used() -> None:
    history = RetryHistory()
    for _ in range(2):
        assert isinstance(decide(DEATH, history, BUDGETS), Retry)
        history = history.after(DEATH)
    decision = decide(DEATH, history, BUDGETS)
    assert isinstance(decision, GiveUp)
    assert "2 of 2 retries" in decision.reason
    assert "cluster.retries.infrastructure" in decision.reason


def test_one_cause_never_spends_the_budget_of_another() -> None:
    history = RetryHistory()
    for _ in range(50):
        history = history.after(Failure(0, Cause.PREEMPTION, "spot notice"))
    assert isinstance(decide(DEATH, history, BUDGETS), Retry)
    assert isinstance(decide(BUG, history, BUDGETS), Retry)


def test_the_same_traceback_at_the_same_step_twice_is_the_user_s_bug() -> None:
    decision = decide(BUG, RetryHistory().after(BUG), BUDGETS)
    assert isinstance(decision, GiveUp)
    assert "twice at step 7" in decision.reason
    assert "Traceback: line 3" in decision.reason


@pytest.mark.parametrize("other", [replace(BUG, step=8), replace(BUG, fingerprint="f2")])
def test_another_step_or_another_traceback_is_another_fault(other: Failure) -> None:
    assert isinstance(decide(other, RetryHistory().after(BUG), BUDGETS), Retry)


def test_what_trying_again_cannot_mend_ends_the_run_at_once() -> None:
    assert isinstance(decide(Failure(0, Cause.PERMANENT, "no such shard"), RetryHistory(), BUDGETS), GiveUp)


@pytest.mark.parametrize(
    ("causes", "root"),
    [
        ([Cause.INFRASTRUCTURE, Cause.USER_CODE], Cause.USER_CODE),
        ([Cause.USER_CODE, Cause.PREEMPTION], Cause.PREEMPTION),
        ([Cause.INFRASTRUCTURE, Cause.OUT_OF_MEMORY], Cause.OUT_OF_MEMORY),
        ([Cause.PREEMPTION, Cause.PERMANENT], Cause.PERMANENT),
    ],
)
def test_the_graver_cause_explains_the_others(causes: list[Cause], root: Cause) -> None:
    assert root_cause([Failure(rank, cause, "") for rank, cause in enumerate(causes)]).cause is root
