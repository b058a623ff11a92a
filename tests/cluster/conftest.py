"""Plans of real runs, composed as the command line composes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.compose import compose
from scripts.starting import prepare
from tests.cluster.runs import SMALL
from trainer.plan import RunPlan

MakePlan = Callable[..., RunPlan]


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    """Return a function from a run's name and overrides to its plan; the run folder is made."""

    def make(name: str, *overrides: str) -> RunPlan:
        composed = compose([*SMALL, f"run.name={name}", f"run.folder={tmp_path / 'runs'}", *overrides])
        start = prepare(composed)
        start.create(["tests"])
        return start.plan

    return make
