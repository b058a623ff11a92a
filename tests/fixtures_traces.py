"""Small traces made by hand, and where recorded ones are, if they are."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st

from batch.simulator import Trace

REFERENCE = Path(os.environ.get("OSTINATO_REFERENCE_DATA", "")) / "traces"
PHILLY = REFERENCE / "philly_2017_sep_to_nov9.csv"

needs_philly = pytest.mark.skipif(
    not ("OSTINATO_REFERENCE_DATA" in os.environ and PHILLY.is_file()),
    reason="OSTINATO_REFERENCE_DATA does not name a folder with traces/philly_2017_sep_to_nov9.csv",
)

DAY_S = 86400.0


def trace_of(rows: Sequence[tuple[float, float, int, str]]) -> Trace:
    """Return a trace of (submitted, duration, chips, team) that starts at day 1 of the epoch."""
    return Trace.of([(DAY_S + submit_s, duration_s, chips, team) for submit_s, duration_s, chips, team in rows], DAY_S)


def traces(most_jobs: int = 30, most_chips: int = 8) -> st.SearchStrategy[Trace]:
    """Return small random traces of three teams."""
    job = st.tuples(
        st.integers(0, 4 * 3600), st.integers(1, 3 * 3600), st.integers(1, most_chips), st.sampled_from(["a", "b", "c"])
    )
    return st.lists(job, min_size=1, max_size=most_jobs).map(trace_of)
