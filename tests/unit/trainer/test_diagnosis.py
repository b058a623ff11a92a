"""Whose fault an exception was, and what the supervisor is told of it."""

import pytest
import torch

from checkpoint import errors as checkpoint_errors
from recipes import errors as recipe_errors
from recipes.config import TargetConfig
from recipes.target import load_target
from trainer import errors
from trainer.diagnosis import end_of
from trainer.failures import Cause, EndKind, Failure

LATER, AT_FIRST = True, False


def failure_of(error: BaseException, *, recovering: bool = AT_FIRST) -> Failure:
    end = end_of(error, rank=1, step=7, recovering=recovering)
    assert end.kind is EndKind.FAILED
    assert end.failure is not None
    assert (end.failure.rank, end.failure.step) == (1, 7)
    return end.failure


@pytest.mark.parametrize(
    ("error", "recovering", "cause"),
    [
        (checkpoint_errors.ArenaError("x"), LATER, Cause.ENVIRONMENT),
        (checkpoint_errors.StoreFull("x"), LATER, Cause.ENVIRONMENT),
        (checkpoint_errors.StoreDenied("x"), LATER, Cause.ENVIRONMENT),
        (checkpoint_errors.StoreError("no such bucket"), AT_FIRST, Cause.ENVIRONMENT),
        (checkpoint_errors.StoreUnavailable("x"), AT_FIRST, Cause.ENVIRONMENT),
        (checkpoint_errors.StoreUnavailable("x"), LATER, Cause.INFRASTRUCTURE),
        (checkpoint_errors.KeeperGoneError("x"), LATER, Cause.INFRASTRUCTURE),
        (checkpoint_errors.DamagedError("all of them"), LATER, Cause.PERMANENT),
        (checkpoint_errors.FencedError("x"), LATER, Cause.PERMANENT),
        (recipe_errors.UnreachableError("x"), AT_FIRST, Cause.ENVIRONMENT),
        (recipe_errors.UnreachableError("x"), LATER, Cause.INFRASTRUCTURE),
        (recipe_errors.DamagedShardError("x"), LATER, Cause.PERMANENT),
        (recipe_errors.RecordCacheError("x"), AT_FIRST, Cause.ENVIRONMENT),
        (errors.RunFolderError("full"), LATER, Cause.ENVIRONMENT),
        (errors.DataChangedError("x"), AT_FIRST, Cause.PERMANENT),
        (errors.EngineError("x"), AT_FIRST, Cause.PERMANENT),
        (errors.NonFiniteLossError("step 8: loss = nan"), LATER, Cause.USER_CODE),
    ],
)
def test_our_own_errors_have_a_cause_and_no_traceback(error: Exception, recovering: bool, cause: Cause) -> None:
    failure = failure_of(error, recovering=recovering)
    assert (failure.cause, failure.message, failure.traceback) == (cause, str(error), "")


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory(error: Exception) -> None:
    assert failure_of(error).cause is Cause.OUT_OF_MEMORY


def test_a_lost_peer_is_nobodys_failure() -> None:
    for error in (errors.PeerLost("x"), RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1")):
        assert end_of(error, rank=0, step=3, recovering=LATER).failure is None


def raised(call: object, *arguments: object) -> BaseException:
    try:
        call(*arguments)  # type: ignore[operator]
    except Exception as error:  # noqa: BLE001 - that is what is asked for
        return error
    raise AssertionError("nothing was raised")


def divide(by: int) -> float:
    return 1 / by


def test_user_code_is_told_with_its_traceback_and_known_again_by_its_lines() -> None:
    first, again, other = (failure_of(raised(call, 0)) for call in (divide, divide, lambda by: 2 % by))
    assert first.cause is Cause.USER_CODE
    assert first.message == "ZeroDivisionError: division by zero"
    assert "in divide" in first.traceback
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_target_that_raises_is_known_by_what_it_raised() -> None:
    targets = [TargetConfig(target="fractions.Fraction", arguments={"numerator": value}) for value in ("x", 1.5j)]
    first, other = (failure_of(raised(load_target, target, object, "model")) for target in targets)
    assert first.cause is Cause.USER_CODE
    assert first.message.startswith("model._target_ = fractions.Fraction raised ValueError")
    assert "ValueError: Invalid literal for Fraction" in first.traceback
    assert first.fingerprint != other.fingerprint
