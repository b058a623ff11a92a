"""Model code that raises, a loss that is no number, other data, SIGTERM: each says what it is, and nothing is lost."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from checkpoint.commits import list_commits
from checkpoint.stores import open_store
from checkpoint.verify import verify_commit
from tests.fixtures_cli import Ostinato, Said
from trainer.run_folder import RunFolder

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("one_ray")]
STEPS = 12


class BrittleRun:
    """A run of the user's own model and data, which are told what to do wrong at each attempt."""

    def __init__(self, ostinato: Ostinato, folder: Path, name: str) -> None:
        self._ostinato = ostinato
        self._code = folder / "code"
        self._code.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("brittle.py"), self._code)
        self._name = name
        self.folder = RunFolder(folder / "runs" / name)

    def train(self, **mode: Any) -> Said:
        (self._code / "mode.json").write_text(json.dumps(mode))
        return self._ostinato(
            "train",
            "recipe=custom",
            f"run.name={self._name}",
            "model._target_=brittle.Model",
            "+model.width=4",
            "data._target_=brittle.Data",
            "+data.width=4",
            f"cluster.code_folders=[{self._code}]",
            f"run.steps={STEPS}",
            "run.global_batch=4",
            "optim.warmup_steps=2",
            "checkpoint.every_steps=3",
            "checkpoint.when_busy=wait",
        )

    def durable_steps(self) -> list[int]:
        """Return the steps of the commits, newest first, each of whose bytes is as it was written."""
        store = open_store(str(self.folder.path / "checkpoints"), {})
        commits = list_commits(store)
        for commit in commits:
            assert verify_commit(store, commit).whole
        return [commit.step for commit in commits]

    def losses(self) -> dict[int, float]:
        by_step: dict[int, float] = {}
        for event in self.folder.events():
            if event["event"] == "step":
                assert by_step.setdefault(event["step"], event["loss"]) == event["loss"]
        return by_step


@pytest.fixture
def run(ostinato: Ostinato, tmp_path: Path, request: pytest.FixtureRequest) -> BrittleRun:
    return BrittleRun(ostinato, tmp_path, request.node.name.removeprefix("test_").replace("_", "-"))


def test_a_model_that_raises(run: BrittleRun) -> None:
    said = run.train(raise_at=7, step_s=0.2)
    assert said.code == 1
    assert said.err.startswith("ostinato: the run failed: rank 0 failed twice at step 7 with the same traceback:\n")
    assert said.err.count("Traceback") == said.err.count("ZeroDivisionError: the model divides by nothing") == 1
    assert 'brittle.py", line' in said.err
    assert "Traceback" not in said.out
    assert run.durable_steps() == [6, 3]

    said = run.train(construct=True)
    assert said.code == 1
    assert "failed twice before the first step with the same traceback" in said.err
    assert "ValueError: width 4 is not to my liking" in said.err
    assert "model._target_ = brittle.Model raised ValueError" in said.err
    assert run.durable_steps() == [6, 3]
    shown = run.folder.record()
    assert shown is not None
    assert (shown.state, shown.exit_code, shown.attempt) == ("failed", 1, 2)


def test_a_loss_that_is_no_number_and_data_that_is_other(run: BrittleRun) -> None:
    said = run.train(nan_at=7, step_s=0.2)
    assert said.code == 1
    assert "step 8: loss = nan" in said.err
    assert "the state of step 7 is intact. Lower optim.lr" in said.err
    assert "Traceback" not in said.err
    assert run.durable_steps() == [6, 3]

    said = run.train(fingerprint="other points")
    assert said.code == 1
    assert "trained on data points up to step 7, but data.url now holds other points: put the old data back" in said.err
    assert "Traceback" not in said.err
    assert run.durable_steps() == [6, 3]


def test_sigterm_saves_and_what_follows_is_as_if_nothing_had_been(ostinato: Ostinato, tmp_path: Path) -> None:
    undisturbed, stopped = (BrittleRun(ostinato, tmp_path, name) for name in ("undisturbed", "stopped"))
    assert undisturbed.train().code == 0
    asker = threading.Thread(target=_terminate_after, args=(stopped.folder, 4))
    asker.start()
    said = stopped.train(step_s=1.0, slow_from=5)  # so that the signal comes before the end, also on a busy machine
    asker.join()
    assert (said.code, "resume with: ostinato resume stopped" in said.out) == (75, True)
    reached = max(stopped.losses())
    assert 4 <= reached < STEPS
    assert stopped.durable_steps()[0] == reached
    assert stopped.train().code == 0
    assert stopped.losses() == undisturbed.losses()
    assert list(stopped.losses()) == list(range(1, STEPS + 1))


def _terminate_after(folder: RunFolder, step: int) -> None:
    deadline_s = time.monotonic() + 240
    while time.monotonic() < deadline_s:
        if any(event["event"] == "step" and event["step"] >= step for event in folder.events()):
            break
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
