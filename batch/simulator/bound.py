"""How much work any scheduler could have done within a window, told everything beforehand."""

import numpy as np

from batch.scheduler.arrays import Floats
from batch.simulator.job_trace import Trace

_HOUR_S = 3600.0


def simple_bound_chip_s(trace: Trace, chips: int) -> float:
    """Return an upper bound of the chip-seconds that `chips` chips can do within the trace's window.

    Two facts: a machine does at most chips x time, and a job at most gang x min(duration, window - submitted). No
    schedule passes the smaller of the sums, whatever it knows.
    """
    possible_s = np.minimum(trace.duration_s, trace.window_s - trace.submit_s)
    return float(min(chips * trace.window_s, (trace.chips * possible_s).sum()))


def offline_bound_chip_s(trace: Trace, chips: int) -> float:
    """Return the smallest bound that the same two facts give when the window is cut at one time, or two.

    Before the cut a job does at most what its submission allows, behind it the machine at most its capacity (a cut of
    the flow from jobs through time; Ford and Fulkerson 1956). A second cut frees the end of the window again. Cuts
    are tried on full hours, one after the other until neither helps.
    """
    grid_s = np.arange(0.0, trace.window_s + 1.0, _HOUR_S)
    first_s, last_s = 0.0, trace.window_s
    best = np.inf
    while True:
        starts = grid_s[grid_s <= last_s]
        values = _cut_values(trace, chips, starts, np.full_like(starts, last_s))
        first_s = float(starts[np.argmin(values)])
        ends = grid_s[grid_s >= first_s]
        values = _cut_values(trace, chips, np.full_like(ends, first_s), ends)
        last_s = float(ends[np.argmin(values)])
        if values.min() >= best - 1.0:
            return float(best)
        best = values.min()


def _cut_values(trace: Trace, chips: int, first_s: Floats, last_s: Floats) -> Floats:
    """Return the bound of each cut: capacity inside [first, last], only the jobs' own limits outside."""
    out = np.empty(len(first_s))
    for number, (first, last) in enumerate(zip(first_s, last_s, strict=True)):
        before_s = np.maximum(0.0, first - trace.submit_s)
        after_s = trace.window_s - np.maximum(trace.submit_s, last)
        free_s = np.minimum(trace.duration_s, before_s + after_s)
        out[number] = chips * (last - first) + float((trace.chips * free_s).sum())
    return out
