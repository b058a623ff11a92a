from hypothesis import given, strategies as st

from checkpoint.retention import ALWAYS_KEPT, expendable_steps

_steps = st.sets(st.integers(0, 1000), max_size=30)


@given(
    _steps,
    st.integers(-3, 10),
    st.none() | st.integers(1, 50),
    st.sets(st.integers(0, 1000), max_size=5),
)
def test_what_must_stay_stays(steps: set[int], keep_last: int, every: int | None, pinned: set[int]) -> None:
    gone = expendable_steps(steps, keep_last=keep_last, keep_every_steps=every, pinned=pinned)
    kept = steps - set(gone)
    newest = sorted(steps)[-max(keep_last, ALWAYS_KEPT) :]
    assert set(gone) <= steps
    assert gone == sorted(gone)
    assert set(newest) <= kept
    assert pinned & steps <= kept
    assert every is None or {step for step in steps if step % every == 0} <= kept
    others = {step for step in kept if step not in newest and step not in pinned}
    assert all(every is not None and step % every == 0 for step in others), "nothing else is kept"


@given(_steps, st.integers(2, 10))
def test_sweeping_again_deletes_nothing_more(steps: set[int], keep_last: int) -> None:
    kept = steps - set(expendable_steps(steps, keep_last=keep_last))
    assert expendable_steps(kept, keep_last=keep_last) == []


def test_an_example() -> None:
    steps = range(50, 501, 50)
    assert expendable_steps(steps, keep_last=3, keep_every_steps=200, pinned=[50]) == [
        100,
        150,
        250,
        300,
        350,
    ]
