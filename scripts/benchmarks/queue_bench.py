"""The queue: submissions beside Slurm, decisions, recorded traces, commands, jobs, restarts, and kills (--chaos)."""

from scripts.benchmarks.contest import Suite
from scripts.benchmarks.queue_chaos import CHAOS
from scripts.benchmarks.queue_commands import AGENT, COMMANDS, RESTART
from scripts.benchmarks.queue_parts import DECISIONS, IN_THE_STORE, PHILLY
from scripts.benchmarks.queue_submissions import SUBMISSIONS, SWEEPS

BENCH = Suite(
    parts={
        "submissions": SUBMISSIONS,
        "sweep": SWEEPS,
        "store": IN_THE_STORE,
        "decisions": DECISIONS,
        "commands": COMMANDS,
        "agent": AGENT,
        "restart": RESTART,
        "philly": PHILLY,
    },
    chaos={"kills": CHAOS},
)
