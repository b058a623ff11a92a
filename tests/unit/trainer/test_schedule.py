import pytest
from hypothesis import given, strategies as st

from trainer.config import OptimConfig
from trainer.schedule import learning_rate


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    config = OptimConfig(lr=1.0, warmup_steps=10)
    assert [learning_rate(config, step, 100) for step in range(10)] == pytest.approx([0.1 * n for n in range(1, 11)])


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.51), ("linear", 0.51), ("constant", 1.0)])
def test_the_middle_of_the_decay(schedule: str, middle: float) -> None:
    config = OptimConfig(lr=1.0, warmup_steps=0, schedule=schedule, final_lr_fraction=0.02)  # type: ignore[arg-type]
    assert learning_rate(config, 50, 100) == pytest.approx(middle)


@given(step=st.integers(0, 10_000), steps=st.integers(1, 5_000), warmup=st.integers(0, 500))
def test_the_rate_is_positive_and_never_above_the_peak(step: int, steps: int, warmup: int) -> None:
    config = OptimConfig(lr=3e-4, warmup_steps=warmup)
    assert 0 < learning_rate(config, step, steps) <= 3e-4


def test_a_longer_decay_does_not_depend_on_the_length_of_the_run() -> None:
    config = OptimConfig(decay_steps=500)
    assert learning_rate(config, 120, 200) == learning_rate(config, 120, 400)
