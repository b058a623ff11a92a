"""The programs in the documents run as they stand there."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import torch
from fixtures_sources import REPOSITORY

from recipes.config import CustomConfig, TargetConfig
from recipes.custom import CustomRecipe

PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
TIMEOUT_S = 140


def example(document: str) -> str:
    (code,) = PYTHON_BLOCK.findall((REPOSITORY / "docs" / document).read_text())
    return str(code)


def test_own_model_data_and_loss_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/ranking.py").write_text(example("recipes.md"))
    monkeypatch.syspath_prepend(tmp_path)
    recipe = CustomRecipe(
        CustomConfig(loss=TargetConfig(target="shop.ranking.loss")),
        TargetConfig(target="shop.ranking.Ranker", arguments={"width": 64}),
        TargetConfig(target="shop.ranking.Clicks"),
    )
    torch.manual_seed(0)
    model, data = recipe.model(), recipe.data(seed=0, global_batch=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        (loss,) = recipe.losses(model, [data.batch(step, 0, 32)])
        loss.backward.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.value.item())
    assert losses[-1] < 0.5 * losses[0]
    assert 0.5 < recipe.evaluate(model, full=True)["clicks/r1"] <= 1.0


def test_a_loop_of_ones_own_saves_and_goes_on(tmp_path: Path) -> None:
    # A name of its own: other tests and other checkouts use the same shared memory.
    program = example("checkpoint.md").replace('run="my-run"', f'run="documented-{uuid.uuid4().hex}"')
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))

    def start(steps: int) -> str:
        changed = program.replace('"checkpoints", 200', f'"checkpoints", {steps}')
        ended = subprocess.run(
            [sys.executable, "-c", changed],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert saved_steps(start(100)) == [50, 100]
    assert saved_steps(start(150)) == [150]


def saved_steps(output: str) -> list[int]:
    return [int(step) for step in re.findall(r"SaveReport\(step=(\d+), ok=True", output)]
