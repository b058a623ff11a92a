"""The public names of planner.laws are there, and asking for the package imports nothing heavy."""

import subprocess
import sys
from pathlib import Path

import planner.laws

REPOSITORY = Path(__file__).parents[4]


def test_every_public_name_exists() -> None:
    assert [name for name in planner.laws.__all__ if not hasattr(planner.laws, name)] == []
    assert dir(planner.laws) == sorted(planner.laws.__all__)


def test_the_package_alone_imports_nothing_heavy() -> None:
    program = "import sys, planner.laws; print(*(m for m in ('numpy', 'pyarrow', 'matplotlib') if m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=True
    )
    assert answer.stdout.split() == []
