"""The suites of `ostinato plan verify`, by name. Each is imported when it is run."""

SUITES: dict[str, str] = {
    "megatron": "planner.verification.system:megatron_throughput",
    "memory_formulas": "planner.verification.system:memory_formulas",
    "mpt": "planner.verification.system:mpt_throughput",
    "torchtitan": "planner.verification.system:torchtitan_memory",
}
"""Name, and "module:function"; one a line, sorted."""
