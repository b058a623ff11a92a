"""A journal, decided again: would today's scheduler decide what was decided then?"""

from collections.abc import Iterable
from dataclasses import dataclass

from batch.events import Event, JobPlaced, JobStopping
from batch.scheduler.actions import Place, Preempt
from batch.scheduler.decision import decide
from batch.scheduler.policy import PolicyConfig
from batch.scheduler.state import SchedulerState

Choice = tuple[str, int, str]
"""`place`, uid, where; or `preempt`, uid, for whom."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """At `time_s` (epoch seconds) the journal has `then`, and deciding again gives `now`."""

    time_s: float
    then: tuple[Choice, ...]
    now: tuple[Choice, ...]


def redecide(journal: Iterable[Event], policy: PolicyConfig | None = None) -> tuple[int, tuple[Divergence, ...]]:
    """Return how many decisions of the journal were taken again, and those that came out otherwise.

    Follows the journal in its order, and decides before each uninterrupted run of placements and preemptions, at the
    time of its first. Decisions to do nothing leave no event and cannot be compared.
    """
    state = SchedulerState(policy)
    count = 0
    divergences: list[Divergence] = []
    then: list[Choice] = []
    now: tuple[Choice, ...] = ()
    time_s = 0.0
    for event in journal:
        choice = _choice_of(event)
        if choice is None and then:
            divergences += _compare(time_s, then, now)
            then = []
        elif choice is not None:
            if not then:
                count, time_s = count + 1, event.time_s
                now = _decided(state, time_s)
            then.append(choice)
        state.apply(event)
    if then:
        divergences += _compare(time_s, then, now)
    return count, tuple(divergences)


def _compare(time_s: float, then: list[Choice], now: tuple[Choice, ...]) -> list[Divergence]:
    return [] if tuple(then) == now else [Divergence(time_s, tuple(then), now)]


def _choice_of(event: Event) -> Choice | None:
    if isinstance(event, JobPlaced):
        return "place", event.uid, f"{event.pool}: {' '.join(event.nodes)}"
    if isinstance(event, JobStopping) and event.beneficiary is not None:
        return "preempt", event.uid, str(event.beneficiary)
    return None


def _decided(state: SchedulerState, now_s: float) -> tuple[Choice, ...]:
    out: list[Choice] = []
    for action in decide(state, now_s, explain=False):
        if isinstance(action, Place):
            out.append(("place", action.uid, f"{action.pool}: {' '.join(action.nodes)}"))
        elif isinstance(action, Preempt):
            out.append(("preempt", action.uid, str(action.beneficiary)))
    return tuple(out)
