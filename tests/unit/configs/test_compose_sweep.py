"""Hydra's sweep grammar: axes, their order, and what is refused before anything is submitted."""

from pathlib import Path

import pytest

from configs.compose import compose
from configs.errors import ConfigError, GroupError, OverrideError, SchemaError
from configs.sweep import compose_sweep


def test_axes_and_what_is_shared() -> None:
    sweep = compose_sweep(["recipe=catalogue_clip", "optim.lr=1e-3,3e-4", "run.steps=40", "seed=range(0,8)"])
    assert sweep.shared == ("recipe=catalogue_clip", "run.steps=40")
    assert sweep.axes == (("optim.lr", ("0.001", "0.0003")), ("run.seed", tuple("01234567")))
    assert len(sweep) == 16
    assert (sweep.base.spec.optim.lr, sweep.base.spec.run.seed, sweep.base.spec.run.steps) == (1e-3, 0, 40)


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("engine=zero1,zero2", ("engine", ("zero1", "zero2"))),
        ("engine=glob([*0,*1])", ("engine", ("zero0", "zero1"))),
        ("optim.lr=choice(1e-3,1e-4)", ("optim.lr", ("0.001", "0.0001"))),
        ("run.seed=range(1,9,3)", ("run.seed", ("1", "4", "7"))),
        ("run.seed=sort(3,1,2)", ("run.seed", ("1", "2", "3"))),
        ("model.image_channels=[8,16,32],[16,32,64]", ("model.image_channels", ("[8,16,32]", "[16,32,64]"))),
    ],
)
def test_the_grammar(text: str, axis: tuple[str, tuple[str, ...]]) -> None:
    assert compose_sweep([text]).axes == (axis,)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["optim.lr=1e-3"], OverrideError, "nothing to sweep over"),
        (["optim.lr=interval(0,1)"], OverrideError, "an interval has no members"),
        (["engine=glob(nothing*)"], OverrideError, "no value at all"),
        (["run.seed=range(3,3)"], OverrideError, "no value at all"),
        (["run.seed=1,2", "seed=3,4"], OverrideError, "run.seed (command line): is swept twice"),
        (["run.seed=1,2", "seed=3"], OverrideError, "run.seed (command line): is swept, and then set to one value"),
        (["~optim.lr=1,2"], OverrideError, "optim.lr (command line): '~optim.lr=1,2' cannot be an axis"),
        (["engine@other=zero1,zero2"], OverrideError, "'engine@other=zero1,zero2' cannot be an axis"),
        (["run.seed=range(0,1000)", "optim.lr=range(1,2000)"], OverrideError, "1999000 members, at most 1000000"),
        (["run.seed=range(0,1000000000)"], OverrideError, "the range has 1000000000 values, at most 1000000"),
        (["run.seed=range(0,-1000000000,-1)"], OverrideError, "the range has 1000000000 values"),
        (["optim.lr=range(0.0,1.0,1e-9)"], OverrideError, "the range has 1000000000 values"),
        (["optim.lr=range(0.0,1.0,0)"], OverrideError, "step of 0"),
        (["run.seed=range(0,nan)"], OverrideError, "the range has nan values"),
        (["run.seed=range(0,9,0)"], OverrideError, "step of 0"),
        (["engine=zero1,zero9"], GroupError, "zero9"),
        (["engine.zero_stage=1,7"], SchemaError, "engine.zero_stage = 7"),
        (["optim.lr=1e-3,fast"], SchemaError, 'optim.lr = "fast"'),
        (["optim.lr=1e-3,"], OverrideError, "cannot be parsed"),
    ],
)
def test_what_is_refused(words: list[str], error: type[ConfigError], message: str) -> None:
    with pytest.raises(error) as raised:
        compose_sweep(words)
    assert message in str(raised.value)


def test_a_users_own_options(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine/mine.yaml").write_text("zero_stage: 2\n")
    assert compose_sweep(["engine=mine,zero1"], config_dirs=[tmp_path]).base.spec.engine.zero_stage == 2


def test_a_long_axis_is_checked_at_its_ends() -> None:
    assert len(compose_sweep(["run.seed=range(0,100000)"])) == 100000
    with pytest.raises(SchemaError):
        compose_sweep(["run.steps=range(100,-1,-1)"])


def test_seed_may_be_written_short_in_one_run_too() -> None:
    assert compose(["seed=7"]).spec.run.seed == 7


def test_what_is_shuffled_is_the_same_sweep_when_it_is_submitted_again() -> None:
    first, again = (compose_sweep(["run.seed=shuffle(range(0,20))"]).axes for _ in range(2))
    assert first == again
    [(_, values)] = first
    assert sorted(map(int, values)) == list(range(20)) != list(map(int, values))
