"""A clock that never goes back and never stands still: what the queue lives by when the machine's clock is set back.

The journal's times never go back. Were they to stand still instead until the machine's clock is past them, then
nothing that waits for a time would happen any more, for a year if that clock had been a year ahead: no retry, no
patience, no room given up. So time goes on at half speed until the machine's clock has caught up.
"""

import logging
import threading
import time
from collections.abc import Callable

TOLERANCE_S = 1.0
_SPEED = 0.5
_log = logging.getLogger(__name__)


class ForwardClock:
    """Gives the times of `clock` (epoch seconds), or later ones after that has gone back. For any thread."""

    def __init__(
        self, clock: Callable[[], float], last_s: float, steady: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin at `last_s`, a time that was given before, unless `clock` is past it. `steady` is never set."""
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()
        self._at_s = last_s
        self._at_steady_s = steady()
        self._is_ahead = False
        self._is_told = False

    def __call__(self) -> float:
        """Return the time. Logs once when the clock has gone back."""
        with self._lock:
            clock_s, steady_s = self._clock(), self._steady()
            # A clock that stands still has not gone back: only one that is behind is left behind.
            passed_s = _SPEED * (steady_s - self._at_steady_s) if clock_s < self._at_s or self._is_ahead else 0.0
            ahead_s = self._at_s + passed_s - clock_s
            if ahead_s > TOLERANCE_S and not self._is_told:
                _log.warning(
                    "the clock is %.0f s behind the last event: until it has caught up, the queue's time goes on at "
                    "half speed from that one; check the time service of this machine",
                    ahead_s,
                )
            self._is_told = ahead_s > TOLERANCE_S
            self._is_ahead = ahead_s > 0.0
            self._at_s, self._at_steady_s = clock_s + max(0.0, ahead_s), steady_s
            return self._at_s
