"""Layouts that cannot be are refused with a sentence; those that can say what they are."""

import pytest

from planner.architectures import BatchShape, load
from planner.errors import BadInputError
from planner.layout import Layout, Offload, Precision, Recompute, Shape, check_layout
from planner.layout_shape import layout_shape


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dp": 0}, "dp = 0: must be a whole number"),
        ({"micro_batch": 1.5}, "micro_batch = 1.5"),
        ({"zero": 4}, "must be 0, 1, 2 or 3"),
        ({"ep": 3, "dp": 4}, "must divide dp x cp = 4"),
        ({"interleave": 2}, "needs pipeline stages"),
        ({"interleave": 2, "pp": 4, "accumulation": 6}, "multiple of pp = 4"),
        ({"offload": "parameters", "zero": 2}, "needs zero = 3"),
        ({"offload": "optimizer"}, "needs zero = 1, 2 or 3"),
        ({"recompute": "some"}, "must be one of none, selective, full"),
        ({"precision": "int4"}, "must be one of fp32, bf16, fp8"),
    ],
)
def test_what_no_model_can_be_laid_over(changes: dict[str, object], says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        Layout().changed(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tp": 3}, "tp = 3: must divide the 8 attention heads"),
        ({"tp": 8}, None),
        ({"pp": 16}, "there are 12 layers"),
        ({"pp": 5}, None),
        ({"cp": 3}, "must divide the 1024 tokens"),
        ({"ep": 2, "dp": 2}, "has no experts"),
    ],
)
def test_what_this_model_cannot_be_laid_over(changes: dict[str, object], says: str | None) -> None:
    shape, layout = Shape(layers=12, heads=8, kv_heads=4, tokens=1024), Layout().changed(**changes)
    if says is None:
        check_layout(layout, shape)
        return
    with pytest.raises(BadInputError, match=says):
        check_layout(layout, shape)


def test_values_may_be_words() -> None:
    layout = Layout(dp=8, tp=2, zero=3).changed(recompute="full", precision="fp32", offload="optimizer")
    assert (layout.recompute, layout.precision, layout.offload) == (Recompute.FULL, Precision.FP32, Offload.OPTIMIZER)
    assert layout.devices == 16
    assert layout.described() == "dp 8, tp 2, zero 3, recompute full, precision fp32, offload optimizer"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama3.1-8b", Shape(layers=32, heads=32, kv_heads=8, tokens=64)),
        ("mixtral-8x7b", Shape(layers=32, heads=32, kv_heads=8, experts=8, tokens=64)),
        ("gpt2", Shape(layers=12, heads=12, kv_heads=12, tokens=64)),
    ],
)
def test_limits_are_read_from_operations(name: str, expected: Shape) -> None:
    assert layout_shape(load(name), BatchShape(2, 64)) == expected
