"""Who runs next, where, and why not yet: `decide(state, now_s)` and what it needs. No clock, no files, no threads.

Names are imported when they are first used, so that the command line starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.scheduler.actions import Action, Place, Preempt, Reason, Reserve, Wait
    from batch.scheduler.decision import decide
    from batch.scheduler.explanation import Alternative, Why, why
    from batch.scheduler.fairness import AwsFairshare
    from batch.scheduler.jobs import RecalledSweep
    from batch.scheduler.policy import PolicyConfig
    from batch.scheduler.reasons import CODES
    from batch.scheduler.standing import Standing, fair_share
    from batch.scheduler.state import SchedulerState

__all__ = [
    "CODES",
    "Action",
    "Alternative",
    "AwsFairshare",
    "Place",
    "PolicyConfig",
    "Preempt",
    "Reason",
    "RecalledSweep",
    "Reserve",
    "SchedulerState",
    "Standing",
    "Wait",
    "Why",
    "decide",
    "fair_share",
    "why",
]

_HOMES = {
    "actions": ("Action", "Place", "Preempt", "Reason", "Reserve", "Wait"),
    "decision": ("decide",),
    "explanation": ("Alternative", "Why", "why"),
    "fairness": ("AwsFairshare",),
    "jobs": ("RecalledSweep",),
    "policy": ("PolicyConfig",),
    "reasons": ("CODES",),
    "standing": ("Standing", "fair_share"),
    "state": ("SchedulerState",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
