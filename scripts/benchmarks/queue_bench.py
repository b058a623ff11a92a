"""The queue: submissions beside Slurm, decisions, restarts, recorded traces, commands, and kills (--chaos)."""

from scripts.benchmarks.contest import Suite
from scripts.benchmarks.queue_submissions import SUBMISSIONS, SWEEPS

BENCH = Suite(parts={"submissions": SUBMISSIONS, "sweep": SWEEPS})
