"""A token bucket for each token: bursts are fine, a runaway loop is told to wait."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from batch.controller.roles import Role
from batch.errors import LimitError


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second in the long run, and how many at once."""

    per_s: float
    burst: float


RATES: dict[Role, Rate | None] = {
    # 4 x what AWS Batch allows an account (50 SubmitJob/s); a request may carry 10,000 jobs.
    Role.SUBMITTER: Rate(200.0, 1000.0),
    Role.TEAM_ADMIN: Rate(200.0, 1000.0),
    Role.OPERATOR: None,
    Role.AGENT: None,
}


class RateLimits:
    """Counts the requests of each token. Not for several threads: the event loop calls it."""

    def __init__(
        self, rates: dict[Role, Rate | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates = RATES if rates is None else rates
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, name: str, role: Role) -> None:
        """Take one request from the bucket of token `name`. Raises LimitError with `retry_after_s` when it is empty."""
        rate = self._rates.get(role)
        if rate is None:
            return
        now_s = self._clock()
        left, then_s = self._buckets.get(name, (rate.burst, now_s))
        left = min(rate.burst, left + (now_s - then_s) * rate.per_s)
        if left < 1.0:
            self._buckets[name] = (left, now_s)
            error = LimitError(
                f"token {name!r} sends more than {rate.per_s:g} requests a second: wait, or send many jobs in one"
            )
            error.retry_after_s = (1.0 - left) / rate.per_s
            raise error
        self._buckets[name] = (left - 1.0, now_s)
