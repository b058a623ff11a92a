"""The planner: FLOPs, fits, forecasts, designs, memory, time, layouts, and real runs forecast before they start."""

from scripts.benchmarks.contest import Suite
from scripts.benchmarks.planner_fits import APPROACH_3, BOOTSTRAPS, PUBLISHED_LAWS, REPEATED_TOKENS
from scripts.benchmarks.planner_flops import BESIDE_TORCH, PUBLISHED
from scripts.benchmarks.planner_forecasts import FORECASTS
from scripts.benchmarks.planner_loop import LOOP
from scripts.benchmarks.planner_search import PARTS as SEARCHES
from scripts.benchmarks.planner_system import MEMORY, SPEEDS

BENCH = Suite(
    parts={
        "approach-3": APPROACH_3,
        "bootstraps": BOOTSTRAPS,
        "repeated-tokens": REPEATED_TOKENS,
        "laws": PUBLISHED_LAWS,
        "forecasts": FORECASTS,
        "flops": BESIDE_TORCH,
        "tables": PUBLISHED,
        "speeds": SPEEDS,
        "memory": MEMORY,
        **SEARCHES,
        "loop": LOOP,
    },
)
