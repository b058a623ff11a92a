"""Results of sweeps: their order, which metric counts, and that a plot is drawn from what there is."""

from pathlib import Path

import pytest

from scripts.sweep_results import Member, best_first, choose_metric, lower_is_better, members_of, plot


def member(number: int, state: str = "succeeded", metrics: dict[str, float] | None = None, **choices: str) -> Member:
    return Member(f"s.{number}", choices, state, 10, metrics or {})


def test_members_come_from_what_the_controller_shows() -> None:
    shown = {"id": "k3v9qtz.4", "overrides": ["optim.lr=0.001", "data.url=s3://a=b"], "state": "running", "step": 7}
    (found,) = members_of([{**shown, "metrics": {"loss": 0.5}}])
    assert found == Member("k3v9qtz.4", {"optim.lr": "0.001", "data.url": "s3://a=b"}, "running", 7, {"loss": 0.5})


def test_best_first_and_those_without_a_value_last() -> None:
    members = [member(0, "running"), *(member(n, metrics={"loss": v, "r5": v}) for n, v in ((1, 0.3), (2, 0.1)))]
    assert [found.id for found in best_first(members, "loss")] == ["s.2", "s.1", "s.0"]
    assert [found.id for found in best_first(members, "r5")] == ["s.1", "s.2", "s.0"]
    assert best_first(members, None) == members


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("loss", True), ("eval/loss", True), ("step_s", True), ("heldout/en/r5", False), ("glossary", False)],
)
def test_which_way_is_better(metric: str, expected: bool) -> None:
    assert lower_is_better(metric) is expected


def test_the_metric_is_chosen_or_the_first() -> None:
    members = [member(0), member(1, metrics={"b": 1.0, "a": 2.0})]
    assert choose_metric(members, None) == "a"
    assert choose_metric(members, "b") == "b"
    assert choose_metric([member(0)], None) is None
    with pytest.raises(KeyError) as raised:
        choose_metric(members, "c")
    assert raised.value.args == (["a", "b"],)


@pytest.mark.parametrize("choices", [("0.001", "0.01", "0.1"), ("zero1", "zero2", "zero3")])
def test_a_plot_of_two_axes_and_seeds(choices: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs the extra `plot`")
    members = [
        member(0, metrics={"loss": index + seed / 10}, **{"x": choice, "run.seed": str(seed), "model": model})
        for index, choice in enumerate(choices)
        for seed in range(3)
        for model in ("small", "large")
    ]
    members.append(member(1, "failed", **{"x": choices[0], "run.seed": "9", "model": "small"}))
    plot(members, "loss", tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
