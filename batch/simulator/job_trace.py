"""A recorded history of jobs, as columns: what a simulation is fed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from batch.errors import BadTraceError
from batch.scheduler.arrays import Bools, Floats, Ints

DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Jobs in order of submission, one row each.

    `submit_s` counts seconds from `start_s` (epoch seconds; 0 where the recording has no dates), `duration_s` is how
    long a job runs alone and undisturbed, `chips` its gang, `team` a number into `teams`. `window_s` is the length of
    the recording: jobs may run on behind it, none is submitted there.
    """

    start_s: float
    window_s: float
    submit_s: Floats
    duration_s: Floats
    chips: Ints
    team: Ints
    teams: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self.submit_s)

    @classmethod
    def of(cls, rows: "list[Row]", start_s: float) -> "Trace":
        """Return the trace of rows in any order; their times are epoch seconds."""
        rows = sorted(rows)
        names = tuple(sorted({row[3] for row in rows}))
        numbers = {name: number for number, name in enumerate(names)}
        submit_s = np.array([row[0] for row in rows], dtype=np.float64) - start_s
        last_s = float(submit_s[-1]) if rows else 0.0
        return cls(
            start_s=start_s,
            window_s=float(np.ceil((last_s + 1.0) / 3600.0) * 3600.0),
            submit_s=submit_s,
            duration_s=np.array([row[1] for row in rows], dtype=np.float64),
            chips=np.array([row[2] for row in rows], dtype=np.int64),
            team=np.array([numbers[row[3]] for row in rows], dtype=np.int64),
            teams=names,
        )

    def window(self, first: datetime, days: float) -> "Trace":
        """Return the jobs submitted within `days` from `first`, on an empty machine. Raises BadTraceError if none."""
        start_s = first.replace(tzinfo=first.tzinfo or UTC).timestamp()
        offset_s = start_s - self.start_s
        inside = (self.submit_s >= offset_s) & (self.submit_s < offset_s + days * DAY_S)
        if not inside.any():
            raise BadTraceError(
                f"no job was submitted in the {days:g} days from {first:%Y-%m-%d %H:%M}: the trace goes from "
                f"{self._date(0.0)} to {self._date(self.window_s)}"
            )
        return self._select(inside, start_s, days * DAY_S)

    def _select(self, inside: Bools, start_s: float, window_s: float) -> "Trace":
        present, team = np.unique(self.team[inside], return_inverse=True)
        return Trace(
            start_s=start_s,
            window_s=window_s,
            submit_s=self.submit_s[inside] - (start_s - self.start_s),
            duration_s=self.duration_s[inside],
            chips=self.chips[inside],
            team=team.astype(np.int64),
            teams=tuple(self.teams[number] for number in present),
        )

    def _date(self, offset_s: float) -> str:
        return f"{datetime.fromtimestamp(self.start_s, UTC) + timedelta(seconds=offset_s):%Y-%m-%d %H:%M}"

    @property
    def work_chip_s(self) -> float:
        """Return what all jobs need, in chip-seconds."""
        return float((self.chips * self.duration_s).sum())

    def chips_for_load(self, load: float) -> int:
        """Return how many chips the trace offers `load` times their time of work, at least its largest gang."""
        return max(int(np.ceil(self.work_chip_s / self.window_s / load)), int(self.chips.max()))


Row = tuple[float, float, int, str]
"""One job as read: submitted (epoch seconds), duration (seconds), chips, team."""
