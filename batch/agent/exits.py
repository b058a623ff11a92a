"""From how processes ended to how the attempt did: one small table. Pure.

The contract with any program: exit code 0, it is done; 75, it has saved and wants to go on later; anything else, it
failed. A program that was asked to stop and ended with 0 says that it was done by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batch.launcher import Ended
from batch.model import Cause

EXIT_INTERRUPTED = 75
"""BSD's EX_TEMPFAIL."""
PEER = "peer"
"""Why a process was stopped: another one of its attempt had failed."""
TIME_LIMIT = "time_limit"
NOT_STARTED = "not_started"
"""No runner took the process up in time."""

_SIGKILL_CODE = 137
_FROM_OUTSIDE = {
    129: "SIGHUP: its session was closed",
    130: "SIGINT: interrupted from outside",
    143: "SIGTERM: asked to end from outside, for example by a machine that shuts down",
}
_CRASHES = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV"}
_UNRUNNABLE = {126: "the command cannot be executed", 127: "the command was not found"}


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How one process of an attempt ended. `code` as a shell tells it; None: it never ran.

    `why` it was stopped: `stop`, `signal` (the runner got one), TIME_LIMIT, PEER, NOT_STARTED; None when it ended by
    itself.
    `is_gone`: it vanished together with its runner.
    """

    rank: int
    code: int | None = None
    why: str | None = None
    out_of_memory: bool = False
    ended_s: float = 0.0
    is_gone: bool = False


def judge(exits: Sequence[ProcessExit]) -> Ended:
    """Return how the attempt ended whose processes, at least one, ended like this."""
    ends = [(each, _judge_one(each)) for each in exits]
    not_well = [(each, end) for each, end in ends if end.state != "succeeded"]
    if not not_well:
        return ends[0][1]
    # Those that were stopped because of another are not why. Among the rest the first to end is.
    own = [pair for pair in not_well if pair[0].why != PEER] or not_well
    first, end = min(own, key=lambda pair: (pair[1].state != "failed", pair[0].ended_s, pair[0].rank))
    if len(exits) == 1:
        return end
    return Ended(state=end.state, exit_code=end.exit_code, cause=end.cause, message=f"rank {first.rank}: {end.message}")


def _judge_one(each: ProcessExit) -> Ended:
    if each.is_gone:
        return Ended(state="failed", cause=Cause.INFRASTRUCTURE, message="the process vanished with its runner or node")
    if each.code == 0:
        return Ended(state="succeeded", exit_code=0)
    if each.why == TIME_LIMIT:
        state = "interrupted" if each.code == EXIT_INTERRUPTED else "failed"
        return Ended(state=state, exit_code=each.code, cause=Cause.TIME_LIMIT, message="it reached its time limit")
    if each.why == NOT_STARTED:
        return Ended(state="failed", cause=Cause.LAUNCH, message="its runner did not start in time")
    if each.why is not None:
        return _stopped(each)
    if each.code == EXIT_INTERRUPTED:
        return Ended(state="interrupted", exit_code=each.code, message="it saved, to go on later (exit code 75)")
    cause, message = _own_fault(each)
    return Ended(state="failed", exit_code=each.code, cause=cause, message=message)


def _stopped(each: ProcessExit) -> Ended:
    cause = Cause.INFRASTRUCTURE if each.why == "signal" else Cause.PREEMPTION
    how = {None: "before it ran", EXIT_INTERRUPTED: "after it had saved", _SIGKILL_CODE: "killed"}
    message = f"stopped, {how.get(each.code, f'exit code {each.code}')}"
    return Ended(state="interrupted", exit_code=each.code, cause=cause, message=message)


def _own_fault(each: ProcessExit) -> tuple[Cause, str]:
    code = each.code
    if code == _SIGKILL_CODE and each.out_of_memory:
        return Cause.OUT_OF_MEMORY, "SIGKILL, by the kernel for lack of memory"
    if code == _SIGKILL_CODE:
        return Cause.INFRASTRUCTURE, "SIGKILL, from outside"
    if code in _FROM_OUTSIDE:
        return Cause.INFRASTRUCTURE, _FROM_OUTSIDE[code]
    if code in _CRASHES:
        return Cause.USER_CODE, f"{_CRASHES[code]}: the program crashed"
    if code in _UNRUNNABLE:
        return Cause.USER_CODE, _UNRUNNABLE[code]
    return Cause.USER_CODE, f"exit code {code}"
