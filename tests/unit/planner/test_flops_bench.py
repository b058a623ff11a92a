"""The benchmark of FLOPs: what it declares, and its published part."""

from scripts.benchmarks.contest import Effort
from scripts.benchmarks.planner_flops import BESIDE_TORCH, PUBLISHED


def test_published_part() -> None:
    with PUBLISHED.contest(Effort.QUICK) as contest:
        found = contest.ours()
    assert set(found) == {figure.name for figure in PUBLISHED.figures}
    assert found["Published numbers missed without a reason"] == 0
    assert set(contest.absent) <= {"openclip_profile", "openclip_scaling"}


def test_names_are_told_apart() -> None:
    names = [figure.name for bench in (BESIDE_TORCH, PUBLISHED) for figure in bench.figures]
    assert len(names) == len(set(names))
