"""Speeds beside what was published and measured: MPT's tokens and Megatron's TFLOP/s."""

from collections.abc import Sequence

import numpy as np

from planner.time_calibration import Calibration
from planner.time_fit import fit_calibration, left_out_errors
from planner.verification.check import Check
from planner.verification.measured_megatron import (
    TABLE1_SOURCE,
    TABLE5_SOURCE,
    megatron_2021_rows,
    megatron_2022_steps,
)
from planner.verification.measured_steps import MPT_SOURCE, MeasuredStep, mpt_steps

_MPT_ERROR, _MEGATRON_ERROR = 0.05, 0.06
_MPT_ERROR_OF_SIZE, _MEGATRON_ERROR_OF_ROW = 0.08, 0.10


def mpt_errors() -> tuple[list[MeasuredStep], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return the 209 rows and, for each, the relative error of tokens per second with its model size left out.

    Constants are fitted for each kind of accelerator by itself. Raises NoReferenceDataError.
    """
    steps = mpt_steps()
    errors = np.empty(len(steps))
    for accelerator in sorted({step.accelerator for step in steps}):
        at = [number for number, step in enumerate(steps) if step.accelerator == accelerator]
        terms = np.array([steps[number].terms() for number in at])
        seconds = np.array([steps[number].measured_s for number in at])
        errors[at] = left_out_errors(terms, seconds, [steps[number].group for number in at])
    return steps, errors


def fitted(steps: Sequence[MeasuredStep], name: str, source: str) -> Calibration:
    """Return the calibration of measured steps of one kind of accelerator."""
    terms = np.array([step.terms() for step in steps])
    seconds = np.array([step.measured_s for step in steps])
    accelerator = steps[0].instance.accelerator.name
    return fit_calibration(name, accelerator, terms, seconds, [step.group for step in steps], source)


def mpt_throughput() -> list[Check]:
    """Check tokens per second of MPT models, each size predicted from the others."""
    steps, errors = mpt_errors()
    mean = float(np.abs(errors).mean())
    words = "mean absolute relative error, model size left out, at most"
    checks = [_at_most("209 bf16 rows", _MPT_ERROR, mean, words, MPT_SOURCE)]
    for group in sorted({step.group for step in steps}):
        is_in = np.array([step.group == group for step in steps])
        of_group = float(np.abs(errors[is_in]).mean())
        checks.append(_at_most(f"size {group}", _MPT_ERROR_OF_SIZE, of_group, words, MPT_SOURCE))
    return checks


def megatron_throughput() -> list[Check]:
    """Check table 1 of 2021 with constants fitted to table 5 of 2022: hardware FLOPs, with recomputation."""
    calibration = fitted(megatron_2022_steps(), "megatron", TABLE5_SOURCE)
    rows = megatron_2021_rows(calibration)
    mean = float(np.mean([abs(row.tflops / row.measured_tflops - 1.0) for row in rows]))
    mean_words = "mean absolute relative error, constants from 2022, at most"
    checks = [_at_most("table 1", _MEGATRON_ERROR, mean, mean_words, TABLE1_SOURCE)]
    for row in rows:
        is_met = abs(row.tflops / row.measured_tflops - 1.0) <= _MEGATRON_ERROR_OF_ROW
        words, note = f"{_MEGATRON_ERROR_OF_ROW:.0%} relative", f"planned as {row.layout.described()}"
        checks.append(Check(row.name, row.measured_tflops, row.tflops, is_met, words, TABLE1_SOURCE, note))
    return checks


def _at_most(name: str, bound: float, found: float, words: str, source: str) -> Check:
    return Check(name, bound, found, found <= bound, words, source)
