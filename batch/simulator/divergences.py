"""A journal, decided again: would today's scheduler decide what was decided then?"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from batch.events import Event, JobChanged, JobPlaced, JobStopping, JobSubmitted
from batch.model import JobSpec
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


def redecide(
    journal: Iterable[tuple[int, Event]], policy: PolicyConfig | None = None
) -> tuple[int, tuple[Divergence, ...]]:
    """Return how many decisions of the journal were taken again, and those that came out otherwise.

    `journal` has sequence numbers and events from the first on. Each placement and preemption says on which events it
    was decided, and when; one that does not was decided just before it. What a person overtook between a decision and
    its record is missing there, and shows as a divergence. Decisions to do nothing leave no event and cannot be
    compared.
    """
    rows = list(journal)
    decisions = _decisions(rows)
    submitted: dict[int, tuple[JobSpec, float]] = {}
    state = SchedulerState(policy, submitted.__getitem__)
    divergences: list[Divergence] = []
    for seq, event in [(0, None), *rows]:
        if event is not None:
            _remember(submitted, event)
            state.apply(event)
        for time_s, then in decisions.get(seq, {}).items():
            now = _decided(state, time_s)
            if tuple(then) != now:
                divergences.append(Divergence(time_s, tuple(then), now))
    return sum(len(at) for at in decisions.values()), tuple(divergences)


def _remember(submitted: dict[int, tuple[JobSpec, float]], event: Event) -> None:
    """Note what was submitted, and what was changed since: what a queue would answer."""
    if isinstance(event, JobSubmitted):
        submitted[event.uid] = (event.spec, event.time_s)
    elif isinstance(event, JobChanged) and event.uid in submitted:
        spec, since_s = submitted[event.uid]
        given = {name: getattr(event, name) for name in ("tier", "time_limit_s", "deadline_s")}
        changes = {name: value for name, value in given.items() if value is not None}
        submitted[event.uid] = (replace(spec, **changes), since_s)


def _decisions(rows: list[tuple[int, Event]]) -> dict[int, dict[float, list[Choice]]]:
    """Return what was decided, by the sequence number of the last event that was known, and by time."""
    decisions: dict[int, dict[float, list[Choice]]] = {}
    known, time_s = 0, 0.0
    follows = False
    for seq, event in rows:
        choice = _choice_of(event)
        if choice is None:
            known, follows = seq, False
            continue
        basis = event.basis if isinstance(event, JobPlaced | JobStopping) else None
        time_s = time_s if follows else event.time_s
        follows = True
        at = (known, time_s) if basis is None else (basis.seq, basis.time_s)
        decisions.setdefault(at[0], {}).setdefault(at[1], []).append(choice)
    return decisions


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
