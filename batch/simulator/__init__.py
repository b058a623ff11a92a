"""The scheduler under a virtual clock, on recorded traces.

Names are imported when they are first used, so that the command line starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.simulator.cluster import Cluster
    from batch.simulator.divergences import Divergence, redecide
    from batch.simulator.export import rows_of, write_trace
    from batch.simulator.job_trace import Trace
    from batch.simulator.outcome import Outcome, Physics
    from batch.simulator.plots import draw
    from batch.simulator.readers import TraceFormat, read_trace
    from batch.simulator.report import Report, report_of
    from batch.simulator.simulation import PolicyName, simulate

__all__ = [
    "Cluster",
    "Divergence",
    "Outcome",
    "Physics",
    "PolicyName",
    "Report",
    "Trace",
    "TraceFormat",
    "draw",
    "read_trace",
    "redecide",
    "report_of",
    "rows_of",
    "simulate",
    "write_trace",
]

_HOMES = {
    "cluster": ("Cluster",),
    "export": ("rows_of", "write_trace"),
    "outcome": ("Outcome", "Physics"),
    "plots": ("draw",),
    "readers": ("TraceFormat", "read_trace"),
    "divergences": ("Divergence", "redecide"),
    "report": ("Report", "report_of"),
    "simulation": ("PolicyName", "simulate"),
    "job_trace": ("Trace",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
