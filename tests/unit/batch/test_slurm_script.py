"""#SBATCH lines: what they become, what is told to be ignored, and what is refused."""

import contextlib

import pytest
from hypothesis import given, strategies as st

from batch.errors import BadRequestError
from batch.model import Cause, JobSpec, Shape, SweepSpec, Tier
from batch.slurm_script import import_script

SCRIPT = """#!/bin/bash
#SBATCH --job-name=clip-large --account=vision
#SBATCH -N2 --gpus-per-node=H100:8
#SBATCH --ntasks-per-node 8 -c 4 # per rank
#SBATCH --time=1-06:30:00
#SBATCH --output=%x-%j.out
#SBATCH --mail-type END

srun python train.py
#SBATCH --nodes=64
"""


def job(lines: str) -> JobSpec:
    spec = import_script(f"#!/bin/sh\n{lines}\ntrue\n", path="job.sh").spec
    assert isinstance(spec, JobSpec)
    return spec


def test_a_usual_script() -> None:
    imported = import_script(SCRIPT, path="jobs/clip.sh")
    spec = imported.spec
    assert isinstance(spec, JobSpec)
    assert (spec.name, spec.team, spec.tier, spec.time_limit_s) == ("clip-large", "vision", Tier.STANDARD, 109800.0)
    assert spec.shape == Shape(nodes=2, gpus=8, cpus=32, accelerator="H100")
    assert spec.payload == {"command": ["bash", "jobs/clip.sh"]}
    assert imported.ignored == ("line 6: --output=%x-%j.out", "line 7: --mail-type=END")


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("", Shape()),
        ("#SBATCH --gres=gpu:4", Shape(gpus=4)),
        ("#SBATCH --gres=gpu:a100:2", Shape(gpus=2, accelerator="a100")),
        ("#SBATCH -G 8 -N 4", Shape(nodes=4, gpus=2)),
        ("#SBATCH -n 6 -N 2 -c 3", Shape(nodes=2, cpus=9)),
        ("#SBATCH --nodes=2-4", Shape(nodes=2)),
        ("#SBATCH --gres=gpu:v100:2(S:0-1)", Shape(gpus=2, accelerator="v100")),
        ("#SBATCH -n4 --gpus-per-task=a100:2", Shape(gpus=8, cpus=4, accelerator="a100")),
        ("#SBATCH -N2 -G 8 --cpus-per-gpu=6", Shape(nodes=2, gpus=4, cpus=24)),
        ("#SBATCH -vQ -k -N2 --verbose --spread-job --nice", Shape(nodes=2)),
        ("#SBATCH -C efa", Shape(labels=(("feature", "efa"),))),
    ],
)
def test_shapes(line: str, shape: Shape) -> None:
    assert job(line).shape == shape


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30", 1800), ("30:15", 1815), ("2:00:00", 7200), ("1-0", 86400), ("1-2:30", 95400), ("2-00:00:01", 172801)],
)
def test_times(value: str, seconds: float) -> None:
    assert job(f"#SBATCH -t {value}").time_limit_s == seconds


def test_no_limit_of_time() -> None:
    assert job("#SBATCH -t 30\n#SBATCH --time=UNLIMITED").time_limit_s is None


def test_an_array_is_a_sweep_over_the_variable_that_the_script_reads() -> None:
    spec = import_script("#SBATCH --array=0-9:3,20%2\n", path="a.sh").spec
    assert isinstance(spec, SweepSpec)
    assert spec.axes == (("SLURM_ARRAY_TASK_ID", ("0", "3", "6", "9", "20")),)
    assert (len(spec), spec.max_running, spec.overrides(4)) == (5, 2, ("SLURM_ARRAY_TASK_ID=20",))


def test_retries_holds_tiers_and_folders() -> None:
    spec = job("#SBATCH --no-requeue -H --qos=scavenger -D /work -p trn2")
    assert (spec.retries[Cause.INFRASTRUCTURE], spec.held, spec.tier, spec.pool) == (0, True, Tier.FLEX, "trn2")
    assert spec.payload["folder"] == "/work"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("#SBATCH --nodes=none", "line 2: --nodes=none: must be a number of at least 1"),
        ("#SBATCH --gpus=7 --nodes=2", "--gpus=7: does not divide by --nodes=2"),
        ("#SBATCH --time=soon", "line 2: --time=soon: must be MINUTES"),
        ("#SBATCH --array=0-9:0", "a step of at least 1"),
        ("#SBATCH --array=5-1", "whose first number is not above the last"),
        ("#SBATCH --array=a-b", "must be numbers and ranges"),
        ("#SBATCH --array=0-9999999", "10000000 members, at most 1000000"),
        ("#SBATCH nodes=2", "line 2: nodes=2: options begin with"),
        ("#SBATCH --job-name", "line 2: --job-name needs a value"),
        ("#SBATCH --comment='open", "line 2: .*: No closing quotation; close the quotes"),
        ("#SBATCH --dependency=afterok:17", "submit with --after JOB"),
        ("#SBATCH --begin=now+1hour", "submit with --not-before TIME"),
    ],
)
def test_what_is_refused(line: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        job(line)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for script in (text, f"#SBATCH {text}"):
        with contextlib.suppress(BadRequestError):
            import_script(script, path="x.sh")
