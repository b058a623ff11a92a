"""The search over layouts: equal to loops over the scalar functions, and consistent between spaces."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from planner.architectures import BatchShape, load
from planner.errors import BadInputError
from planner.hardware import Accelerator, default_catalogue
from planner.layout import Layout, Recompute, check_layout
from planner.layout_search import Workload, search_layouts
from planner.layout_space import EVERYTHING, LayoutSpace, layouts_in
from planner.layout_table import RECOMPUTES, LayoutTable
from planner.memory import Assumptions, estimate_memory, memory_of_layouts
from planner.time_calibration import calibration_for
from planner.time_step import estimate_step, seconds_of_layouts

SMALL: Mapping[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 5,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 64,
}  # fmt: skip
MIXED: Mapping[str, Any] = {
    **SMALL, "model_type": "mixtral", "num_hidden_layers": 4, "num_local_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
WINDOWED: Mapping[str, Any] = {**SMALL, "model_type": "gemma2", "sliding_window": 16, "head_dim": 16}
WORKLOADS = {
    name: Workload.of(load(config), BatchShape(1, 64))
    for name, config in (("dense", SMALL), ("experts", MIXED), ("windows", WINDOWED))
}
P5 = default_catalogue().instance("p5")
CONSTANTS = calibration_for(P5.accelerator.name)
TIGHT = Assumptions(reduce_bucket_elements=0, reserved_bytes=0)


def brute_force(workload: Workload, devices: int, samples: int) -> list[Layout]:
    """Every layout that Layout and check_layout take, tried one by one."""
    found, sizes = [], range(1, max(devices, samples) + 1)
    for tp, pp, cp, dp in product(range(1, devices + 1), repeat=4):
        if tp * pp * cp * dp != devices:
            continue
        for ep, micro_batch, accumulation, interleave in product(range(1, dp * cp + 1), sizes, sizes, range(1, 6)):
            if dp * micro_batch * accumulation != samples:
                continue
            for zero, recompute in product(range(4), Recompute):
                try:
                    layout = Layout(
                        dp=dp, tp=tp, pp=pp, cp=cp, ep=ep, interleave=interleave, zero=zero,
                        micro_batch=micro_batch, accumulation=accumulation, recompute=recompute,
                    )  # fmt: skip
                    check_layout(layout, workload.limits)
                except BadInputError:
                    continue
                found.append(layout)
    return found


def key(workload: Workload, layout: Layout) -> tuple[float, ...]:
    seconds = estimate_step(workload.time(layout.micro_batch), layout, P5, CONSTANTS).total_s
    size = estimate_memory(workload.memory(layout.micro_batch), layout, TIGHT).total_bytes
    plain = (layout.zero, RECOMPUTES.index(layout.recompute), layout.interleave, layout.pp, layout.tp, layout.cp)
    return seconds, size, *plain, layout.ep, layout.micro_batch


@pytest.mark.parametrize(("name", "devices", "samples"), [("dense", 8, 8), ("experts", 4, 8), ("windows", 6, 6)])
def test_the_search_is_brute_force_with_the_scalar_functions(name: str, devices: int, samples: int) -> None:
    workload = WORKLOADS[name]
    layouts = brute_force(workload, devices, samples)
    table = layouts_in(EVERYTHING, workload.limits, devices, samples)
    assert {table.row(at) for at in range(len(table))} == set(layouts)
    assert len(table) == len(layouts) > 100

    keys = {layout: key(workload, layout) for layout in layouts}
    bytes_needed = sorted(found[1] for found in keys.values())
    capacity = bytes_needed[len(bytes_needed) // 3]
    small = replace(P5, accelerator=replace(P5.accelerator, memory_bytes=int(capacity)))
    expected = sorted((one for one in layouts if keys[one][1] <= int(capacity)), key=keys.__getitem__)
    found = search_layouts(workload, devices, samples, small, CONSTANTS, assumptions=TIGHT, best=7)
    assert [one.verdict.layout for one in found.best] == expected[:7]
    assert [one.step.total_s for one in found.best] == [keys[one][0] for one in expected[:7]]
    assert (found.looked_at, found.fitting) == (len(layouts), len(expected))
    assert found.without_limit.verdict.layout == min(layouts, key=keys.__getitem__)
    assert found.smallest.verdict.estimate.total_bytes == bytes_needed[0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_table_has_the_very_numbers_of_the_scalar_functions(name: str) -> None:
    workload = WORKLOADS[name]
    table = layouts_in(EVERYTHING, workload.limits, 8, 16)
    chosen = table.take(np.random.default_rng(0).choice(len(table), 150, replace=False))
    sizes = (1, 2, 4, 8, 16)
    memory = memory_of_layouts({size: workload.memory(size) for size in sizes}, chosen)
    seconds = seconds_of_layouts({size: workload.time(size) for size in sizes}, chosen, P5, CONSTANTS)
    for at in range(len(chosen)):
        layout = chosen.row(at)
        assert memory.row(at) == estimate_memory(workload.memory(layout.micro_batch), layout)
        assert seconds[at] == estimate_step(workload.time(layout.micro_batch), layout, P5, CONSTANTS).total_s


def subsets(values: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...] | None]:
    some = st.lists(st.sampled_from(values), min_size=1, unique=True).map(lambda one: (1, *one))
    return st.none() | some


SPACES = st.builds(
    LayoutSpace,
    tp=subsets((1, 2, 4)),
    pp=subsets((1, 2, 4)),
    cp=subsets((1, 2, 4)),
    interleave=subsets((1, 2)),
    micro_batch=subsets((1, 2, 4)),
    zero=st.lists(st.integers(0, 3), min_size=1, unique=True).map(tuple),
    recompute=st.lists(st.sampled_from(RECOMPUTES), min_size=1, unique=True).map(tuple),
    even=st.booleans(),
)


@given(space=SPACES, share=st.floats(0.1, 1.0))
@settings(max_examples=40, deadline=None)
def test_a_part_of_the_space_is_never_better_than_the_whole(space: LayoutSpace, share: float) -> None:
    workload = WORKLOADS["dense"]
    whole = search_layouts(workload, 8, 8, P5, CONSTANTS, assumptions=TIGHT, best=1)
    capacity = int(whole.without_limit.verdict.estimate.total_bytes * share)
    small = replace(P5, accelerator=replace(P5.accelerator, memory_bytes=capacity))
    whole = search_layouts(workload, 8, 8, small, CONSTANTS, assumptions=TIGHT, best=1)
    part = search_layouts(workload, 8, 8, small, CONSTANTS, space=space, assumptions=TIGHT, best=1)
    assert part.without_limit.step.total_s >= whole.without_limit.step.total_s
    assert part.smallest.verdict.estimate.total_bytes >= whole.smallest.verdict.estimate.total_bytes
    if part.best:
        assert whole.best
        assert part.best[0].step.total_s >= whole.best[0].step.total_s
        assert part.best[0].verdict.fits


@given(shares=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)))
@settings(max_examples=15, deadline=None)
def test_more_memory_is_never_slower(shares: tuple[float, float]) -> None:
    workload = WORKLOADS["experts"]

    def fastest(share: float) -> float:
        device: Accelerator = replace(P5.accelerator, memory_bytes=int(share * 30e6))
        found = search_layouts(workload, 8, 8, replace(P5, accelerator=device), CONSTANTS, assumptions=TIGHT, best=1)
        return found.best[0].step.total_s if found.best else float("inf")

    assert fastest(max(shares)) <= fastest(min(shares))


def test_what_binds_is_said() -> None:
    workload = Workload.of(load("llama3-70b"), BatchShape(1, 8192))
    space = LayoutSpace(tp=(1, 8), pp=(1, 4), cp=(1,), interleave=(1,), micro_batch=(1, 2), even=True)
    found = search_layouts(workload, 64, 64, P5, CONSTANTS, space=space, best=3)
    assert found.binding.startswith("memory: with ")
    assert len(found.best) == 3
    none = search_layouts(workload, 8, 8, P5, CONSTANTS, space=replace(space, pp=(1,)))
    assert not none.best
    assert none.binding.startswith("memory: the smallest layout lacks ")
    plenty = search_layouts(WORKLOADS["dense"], 8, 8, P5, CONSTANTS)
    assert plenty.binding.startswith("time: memory is enough")


def test_what_cannot_be_searched_is_said() -> None:
    limits = WORKLOADS["dense"].limits
    with pytest.raises(BadInputError, match="devices = 0"):
        layouts_in(EVERYTHING, limits, 0, 8)
    with pytest.raises(BadInputError, match="no layout over 7 devices has 8 samples"):
        layouts_in(EVERYTHING, limits, 7, 8)
    with pytest.raises(BadInputError, match="layout space: zero: there must be something"):
        LayoutSpace(zero=())
    with pytest.raises(BadInputError, match="a table needs some"):
        LayoutTable.of([])
