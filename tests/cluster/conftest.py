"""Plans of real runs, composed as the command line composes them, and the command line itself."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from configs.compose import compose
from scripts.starting import prepare
from tests.cluster.runs import SMALL
from tests.fixtures_cli import Ostinato, ostinato_in
from trainer.config import ClusterConfig
from trainer.connection_ray import connected
from trainer.plan import RunPlan

MakePlan = Callable[..., RunPlan]


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    """Return a function from a run's name and overrides of SMALL (or of another recipe) to its plan."""

    def make(name: str, *overrides: str) -> RunPlan:
        recipe = () if any(word.startswith("recipe=") for word in overrides) else SMALL
        composed = compose([*recipe, f"run.name={name}", f"run.folder={tmp_path / 'runs'}", *overrides])
        start = prepare(composed)
        start.create(["tests"])
        return start.plan

    return make


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """One Ray for all runs of a module, which would start one each: five seconds every time."""
    with connected(ClusterConfig(workers=2)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.launcher.connected", lambda config: nullcontext())
        yield


@pytest.fixture
def ostinato(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ostinato:
    """The command line, called in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OSTINATO_RUNS", raising=False)
    return ostinato_in(capsys)
