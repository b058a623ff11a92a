"""Who runs next, where, and why not yet: `decide(state, now_s)` and what it needs. No clock, no files, no threads."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.scheduler.actions import Action, Place, Preempt, Reason, Reserve, Wait
    from batch.scheduler.decide import decide
    from batch.scheduler.fairness import AwsFairshare
    from batch.scheduler.policy import PolicyConfig
    from batch.scheduler.state import SchedulerState

__all__ = [
    "Action",
    "AwsFairshare",
    "Place",
    "PolicyConfig",
    "Preempt",
    "Reason",
    "Reserve",
    "SchedulerState",
    "Wait",
    "decide",
]

_HOMES = {
    "Action": "actions",
    "AwsFairshare": "fairness",
    "Place": "actions",
    "PolicyConfig": "policy",
    "Preempt": "actions",
    "Reason": "actions",
    "Reserve": "actions",
    "SchedulerState": "state",
    "Wait": "actions",
    "decide": "decide",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that the command line starts without numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
