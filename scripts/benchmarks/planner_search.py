"""Part of the benchmark `planner`: all layouts of 70B on 1,024 accelerators, and the search beside brute force."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import islice

import numpy as np

from planner.architectures import BatchShape, load
from planner.hardware import Instance, default_catalogue
from planner.layout_search import Search, Workload, search_layouts
from planner.layout_space import EVERYTHING, layouts_in
from planner.memory import estimate_memory
from planner.time_calibration import Calibration, calibration_for
from planner.time_step import estimate_step
from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal

_DEVICES, _SAMPLES, _TOKENS = 1024, 1024, 8192
_SMALL = {"model_type": "llama", "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6,
          "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000,
          "max_position_embeddings": 1024}  # fmt: skip
_SMALL_SPACES = ((4, 8), (8, 8), (6, 12))
"""Accelerators and samples of a step."""
_SCALAR_LAYOUTS = 500

_SECONDS = Figure("All layouts of 70B on 1,024 accelerators, one core", "s", Goal(at_most=1.0, of="ours"))
_LAYOUTS = Figure("Layouts that were computed", "")
_SPEED = Figure("Layouts a second", "1/s")
_DIFFERENT = Figure("Small spaces where brute force differs", "", Goal(at_most=0.0, of="ours"), may_be_zero=True)


@contextmanager
def _contest(effort: Effort) -> Iterator[Contest]:
    del effort
    yield Contest(ours=_ours, peers={"one by one": _one_by_one})


def _ours() -> Mapping[str, float]:
    """Search with nothing kept from before, in seconds of one core: profiles of all micro-batches are part of it."""
    instance, constants = _machine()
    workload = Workload.of(load("llama3-70b"), BatchShape(1, _TOKENS))
    began_s = time.process_time()
    found = search_layouts(workload, _DEVICES, _SAMPLES, instance, constants)
    seconds = time.process_time() - began_s
    return {
        _SECONDS.name: seconds,
        _LAYOUTS.name: float(found.looked_at),
        _SPEED.name: found.looked_at / seconds,
        _DIFFERENT.name: float(_different()),
    }


def _one_by_one() -> Mapping[str, float]:
    """Compute some of the same layouts by the scalar functions."""
    instance, constants = _machine()
    workload = Workload.of(load("llama3-70b"), BatchShape(1, _TOKENS))
    table = layouts_in(EVERYTHING, workload.limits, _DEVICES, _SAMPLES)
    chosen = np.random.default_rng(0).choice(len(table), _SCALAR_LAYOUTS, replace=False)
    layouts = [table.row(at) for at in chosen.tolist()]
    began_s = time.process_time()
    for layout in layouts:
        estimate_memory(workload.memory(layout.micro_batch), layout)
        estimate_step(workload.time(layout.micro_batch), layout, instance, constants)
    speed = len(layouts) / (time.process_time() - began_s)
    return {
        _SECONDS.name: len(table) / speed,
        _LAYOUTS.name: float(len(table)),
        _SPEED.name: speed,
        _DIFFERENT.name: 0.0,  # it is what others are compared with
    }


@cache
def _different() -> int:
    """Return on how many small spaces a loop over the scalar functions finds another fastest layout, or another time.

    Once a process: it is no matter of chance.
    """
    instance, constants = _machine()
    workload = Workload.of(load(_SMALL), BatchShape(1, 1024))
    return sum(
        not _is_equal(search_layouts(workload, *space, instance, constants, best=3), workload, space)
        for space in _SMALL_SPACES
    )


def _is_equal(found: Search, workload: Workload, space: tuple[int, int]) -> bool:
    instance, constants = _machine()
    table = layouts_in(EVERYTHING, workload.limits, *space)
    seconds = []
    for layout in (table.row(at) for at in range(len(table))):
        size = estimate_memory(workload.memory(layout.micro_batch), layout).total_bytes
        if size <= instance.accelerator.memory_bytes:
            step = estimate_step(workload.time(layout.micro_batch), layout, instance, constants)
            seconds.append((step.total_s, size))
    best = [(one.step.total_s, one.verdict.estimate.total_bytes) for one in found.best]
    return len(seconds) == found.fitting and best == list(islice(sorted(seconds), len(best)))


def _machine() -> tuple[Instance, Calibration]:
    instance = default_catalogue().instance("p5")
    return instance, calibration_for(instance.accelerator.name)


SEARCH = Bench(
    figures=(_SECONDS, _LAYOUTS, _SPEED, _DIFFERENT),
    contest=_contest,
    warmup_rounds=1,
    rounds={Effort.QUICK: 1, Effort.NORMAL: 3, Effort.FULL: 5},
)
PARTS = {"search": SEARCH}
