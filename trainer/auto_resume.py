"""AutoResume: what to do after a failure. A pure function of the failure and of what was spent; others act."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainer.config import RetryBudgets
from trainer.failures import Cause, Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Replace what died and go on from the newest valid state."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the attempt; `reason` says why, with the traceback when user code raised."""

    reason: str


Decision = Retry | GiveUp


@dataclass(frozen=True, slots=True)
class RetryHistory:
    """What an attempt has been through: retries per cause, and the (step, fingerprint) of faults in user code."""

    spent: Counter[Cause] = field(default_factory=Counter)
    faults: frozenset[tuple[int | None, str]] = frozenset()

    def after(self, failure: Failure) -> "RetryHistory":
        """Return the history with `failure` added."""
        faults = self.faults | {(failure.step, failure.fingerprint)} if failure.fingerprint else self.faults
        return replace(self, spent=self.spent + Counter({failure.cause: 1}), faults=faults)

    def to_json(self) -> dict[str, Any]:
        """Return the history as JSON values, for the run record."""
        spent = {cause.value: count for cause, count in self.spent.items()}
        return {"spent": spent, "faults": sorted(self.faults, key=str)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RetryHistory":
        """Return the history that `to_json` gave; of nothing, an empty one."""
        spent = Counter({Cause(cause): count for cause, count in value.get("spent", {}).items()})
        return cls(spent, frozenset((step, fingerprint) for step, fingerprint in value.get("faults", ())))


def decide(failure: Failure, history: RetryHistory, budgets: RetryBudgets) -> Decision:
    """Return whether the run goes on after `failure`, and why.

    `history` does not contain `failure` yet. The same fault at the same step twice is the user's bug: no number of
    retries mends it.
    """
    if failure.cause in {Cause.PERMANENT, Cause.ENVIRONMENT}:
        return GiveUp(failure.message)
    if failure.fingerprint and (failure.step, failure.fingerprint) in history.faults:
        when = "before the first step" if failure.step is None else f"at step {failure.step}"
        how = f"with the same traceback:\n{failure.traceback}" if failure.traceback else f"alike: {failure.message}"
        return GiveUp(f"rank {failure.rank} failed twice {when} {how}")
    limit = getattr(budgets, failure.cause.value)
    used = history.spent[failure.cause]
    if used >= limit:
        return GiveUp(
            f"rank {failure.rank}: {failure.message}; {used} of {limit} retries for {failure.cause.value} are used "
            f"(cluster.retries.{failure.cause.value})" + (f"\n{failure.traceback}" if failure.traceback else "")
        )
    return Retry(f"retry {used + 1} of {limit} for {failure.cause.value}")
