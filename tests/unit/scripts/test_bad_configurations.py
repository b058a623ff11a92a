"""A configuration that cannot be meant: one error with the next step, exit code 2, nothing written, nothing started."""

from pathlib import Path

import pytest
from fixtures_cli import Ostinato


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["engine=zero4"], "engine = zero4 (command line): must be zero0, zero1, zero2 or zero3"),
        (["--config-dir", "nothing"], "--config-dir"),
        (["recipe=catalogue_clip_full"], "data.url (configs/data/catalogue.yaml): is required; give data.url=VALUE"),
        (["checkpoint=s3"], "checkpoint.url (configs/checkpoint/s3.yaml): is required"),
        (["optim.lrr=1e-3"], "optim.lrr (command line): is not a key; did you mean `optim.lr`?"),
        (["run.steps=many"], 'run.steps = "many" (command line): must be a whole number of at least 1'),
        (["cluster.workers=3"], "run.global_batch = 128: does not divide by cluster.workers = 3"),
        (["run.micro_batch=5"], "run.micro_batch = 5: does not divide the 128 samples of a rank"),
    ],
)  # fmt: skip
def test_one_error_and_nothing_else(words: list[str], message: str, ostinato: Ostinato, tmp_path: Path) -> None:
    said = ostinato("train", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("ostinato: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
