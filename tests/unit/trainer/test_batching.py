import pytest
from hypothesis import given, strategies as st

from trainer.batching import plan_batch
from trainer.errors import BatchError


@given(micro=st.integers(1, 32), accumulation=st.integers(1, 8), ranks=st.integers(1, 16))
def test_the_slices_of_all_ranks_are_the_global_batch_in_order(micro: int, accumulation: int, ranks: int) -> None:
    plan = plan_batch(micro * accumulation * ranks, micro, ranks)
    assert (plan.micro_batch, plan.accumulation) == (micro, accumulation)
    slices = [micro_slice for rank in range(ranks) for micro_slice in plan.micro_slices(rank)]
    assert [index for start, stop in slices for index in range(start, stop)] == list(range(plan.global_batch))


def test_without_a_micro_batch_there_is_no_accumulation() -> None:
    assert plan_batch(128, None, 2).micro_slices(1) == [(64, 128)]


def test_a_micro_batch_larger_than_a_rank_s_part_is_cut_down_so_that_more_workers_just_fit() -> None:
    assert plan_batch(128, 64, 4).micro_batch == 32


@pytest.mark.parametrize(
    ("global_batch", "micro", "ranks", "said"),
    [
        (127, None, 2, "126 and 128"),
        (3, None, 4, "smallest that does is 4"),
        (128, 24, 2, r"allowed are \[1, 2, 4, 8, 16, 32, 64\]"),
    ],
)
def test_what_does_not_divide_names_what_does(global_batch: int, micro: int | None, ranks: int, said: str) -> None:
    with pytest.raises(BatchError, match=said):
        plan_batch(global_batch, micro, ranks)
