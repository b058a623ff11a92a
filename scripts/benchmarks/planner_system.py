"""Parts of the benchmark `planner` about systems: time beside published speeds, memory beside real training steps."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from planner.architectures import BatchShape, load
from planner.errors import NoReferenceDataError
from planner.layout import Layout
from planner.memory import Assumptions, estimate_memory
from planner.memory_profile import memory_profile
from planner.verification.measured_megatron import TABLE5_SOURCE, megatron_2021_rows, megatron_2022_steps
from planner.verification.system import fitted, mpt_errors
from scripts.benchmarks import measured_zero
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal
from scripts.benchmarks.measured_memory import FAMILIES

_MPT = Figure("Speed of 209 MPT rows, model size left out, MAPE", "%", Goal(at_most=5.0, of="ours"))
_MEGATRON = Figure("Speed of Megatron table 1, constants from elsewhere, MAPE", "%", Goal(at_most=6.0, of="ours"))
_MEMORY = Figure("Peak memory of training steps on CPU, MAPE", "%", Goal(at_most=5.0, of="ours"))
_WORST = Figure("The same, worst case", "%", may_be_zero=True)
_FALSE_FITS = Figure("Steps that hold more than the margin allows", "", Goal(at_most=0.0, of="ours"), may_be_zero=True)
_LAYOUT = Figure("Memory of one layout of a 126-layer model", "ms", Goal(at_most=1.0, of="ours"))
_DEADLINE_S = 300.0
_MARGIN = Assumptions().fragmentation
"""Of the estimate: what a verdict adds by default, so that a step that holds more would be a `fits` that does not."""
_ONCE = {Effort.QUICK: 1, Effort.NORMAL: 1, Effort.FULL: 1}


@contextmanager
def _speeds(effort: Effort) -> Iterator[Contest]:
    del effort

    def ours() -> Mapping[str, float]:
        _, errors = mpt_errors()
        rows = megatron_2021_rows(fitted(megatron_2022_steps(), "megatron", TABLE5_SOURCE))
        of_rows = [row.tflops / row.measured_tflops - 1.0 for row in rows]
        return {_MPT.name: 100.0 * float(np.abs(errors).mean()), _MEGATRON.name: 100.0 * float(np.abs(of_rows).mean())}

    try:
        mpt_errors()
    except NoReferenceDataError as error:
        yield Contest(ours=dict, left_out=dict.fromkeys((_MPT.name, _MEGATRON.name), str(error)))
        return
    yield Contest(ours=ours)


@contextmanager
def _memory(effort: Effort) -> Iterator[Contest]:
    def ours() -> Mapping[str, float]:
        rows = [row for family in FAMILIES for row in _measured(family)]
        # Two ranks of DeepSpeed each: minutes.
        rows += [] if effort is Effort.QUICK else [measured_zero.measured(*case) for case in measured_zero.CASES]
        errors = [row["estimated_bytes"] / row["measured_bytes"] - 1.0 for row in rows]
        false_fits = sum(row["measured_bytes"] > (1.0 + _MARGIN) * row["estimated_bytes"] for row in rows)
        return {
            _MEMORY.name: 100.0 * float(np.abs(errors).mean()),
            _WORST.name: 100.0 * float(np.abs(errors).max()),
            _FALSE_FITS.name: float(false_fits),
            _LAYOUT.name: _layout_ms(),
        }

    yield Contest(ours=ours)


def _measured(family: str) -> list[dict[str, Any]]:
    """Return the rows of one family, measured in a process of its own. Raises what went wrong there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "scripts.benchmarks.measured_memory", family],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _layout_ms() -> float:
    profile = memory_profile(load("llama3.1-405b"), BatchShape(1, 8192))
    layouts = [Layout(dp=dp, tp=8, zero=zero, accumulation=4) for dp in (8, 16, 32, 64) for zero in range(4)]
    estimate_memory(profile, layouts[0])
    began_s = time.perf_counter()
    for layout in layouts:
        estimate_memory(profile, layout)
    return 1e3 * (time.perf_counter() - began_s) / len(layouts)


SPEEDS = Bench(figures=(_MPT, _MEGATRON), contest=_speeds, warmup_rounds=0, rounds=_ONCE)
MEMORY = Bench(
    figures=(_MEMORY, _WORST, _FALSE_FITS, _LAYOUT), contest=_memory, warmup_rounds=0, rounds=_ONCE,
    packages=("transformers",),
)  # fmt: skip
PARTS = {"speeds": SPEEDS, "memory": MEMORY}
