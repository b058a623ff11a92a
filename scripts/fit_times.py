"""Fit the constants of time to the published measurements again, and write planner/time_calibrations.csv.

Usage: python scripts/fit_times.py, with OSTINATO_REFERENCE_DATA set.
"""

from pathlib import Path

from planner.time_calibration import Calibration, write_calibrations
from planner.verification.measured_megatron import TABLE5_SOURCE, megatron_2022_steps
from planner.verification.measured_steps import MPT_SOURCE, mpt_steps
from planner.verification.system import fitted


def calibrations() -> tuple[Calibration, ...]:
    """Return the constants of FSDP on each accelerator that MPT was measured on, and Megatron's on A100."""
    steps = mpt_steps()
    kinds = {step.instance.accelerator.name: step.accelerator for step in steps}
    of_mpt = [
        fitted([step for step in steps if step.accelerator == kind], f"fsdp-{name}", MPT_SOURCE)
        for name, kind in sorted(kinds.items())
    ]
    return (*of_mpt, fitted(megatron_2022_steps(), "megatron-a100-80gb", TABLE5_SOURCE))


if __name__ == "__main__":
    write_calibrations(Path(__file__).parents[1] / "planner" / "time_calibrations.csv", calibrations())
