"""Whatever is wrong with a user's `_target_`, one clear line says what."""

import pickle
import sys
from pathlib import Path

import pytest
import torch

from recipes.config import TargetConfig
from recipes.errors import TargetError, TargetMissingError, TargetRaisedError, TargetTypeError
from recipes.target import load_function, load_target

MODULE = """
import torch
NUMBER = 3
class Net(torch.nn.Linear):
    def __init__(self, width=2):
        super().__init__(width, 1)
class Loss:
    def __init__(self, weight): self.weight = weight
    def __call__(self, output, batch): return self.weight * output
def loss(output, batch, weight=1): return weight * output
def broken(): raise KeyError("inside")
"""


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user_code_for_targets.py").write_text(MODULE)
    (tmp_path / "user_code_that_fails.py").write_text("raise RuntimeError('on import')")
    (tmp_path / "user_code_that_needs.py").write_text("import package_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("user_code_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("user_code")
def test_builds_with_arguments() -> None:
    config = TargetConfig(target="user_code_for_targets.Net", arguments={"width": 5})
    net = load_target(config, torch.nn.Module, "model")
    assert net.in_features == 5


@pytest.mark.usefixtures("user_code")
@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("Net", TargetMissingError, "dotted path"),
        ("no_such_package.Net", TargetMissingError, "no module named no_such_package.*code_folders"),
        ("user_code_for_targets.Nett", TargetMissingError, "nothing called Nett; it has .*Net"),
        ("user_code_for_targets.NUMBER", TargetTypeError, "is a int"),
        ("user_code_for_targets.broken", TargetRaisedError, "raised KeyError: 'inside'"),
        ("user_code_for_targets.Loss", TargetRaisedError, "missing 1 required.*called with no arguments"),
        ("user_code_that_fails.Net", TargetRaisedError, "RuntimeError: on import"),
        ("user_code_that_needs.Net", TargetRaisedError, "needs package_that_is_not_there"),
        ("pathlib.Path", TargetTypeError, "must be a Module"),
    ],
)
def test_says_what_is_wrong(target: str, error: type[TargetError], says: str) -> None:
    with pytest.raises(error, match=f"model._target_ = {target}.*{says}") as raised:
        load_target(TargetConfig(target=target), torch.nn.Module, "model")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # noqa: S301 - our own bytes


@pytest.mark.usefixtures("user_code")
def test_functions_and_callable_objects() -> None:
    weight = {"weight": 4}
    assert load_function(TargetConfig(target="user_code_for_targets.loss"), "recipe.loss")(2, {}) == 2
    assert load_function(TargetConfig(target="user_code_for_targets.loss", arguments=weight), "recipe.loss")(2, {}) == 8
    assert load_function(TargetConfig(target="user_code_for_targets.Loss", arguments=weight), "recipe.loss")(2, {}) == 8
    with pytest.raises(TargetTypeError, match=r"cannot be called"):
        load_function(TargetConfig(target="pathlib.Path"), "recipe.loss")
