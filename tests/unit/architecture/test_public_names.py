"""The public surface of each package changes only where a diff shows it."""

import importlib
import json
import subprocess
import sys

import pytest
from public_names import PACKAGES, REPOSITORY, STORED, declared

HEAVY = ("torch", "ray", "deepspeed", "grain", "pyarrow", "obstore", "fsspec", "hydra")


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_the_stored_ones(package: str) -> None:
    stored = json.loads(STORED.read_text())
    assert declared(package) == stored[package], (
        f"the public names of {package} changed; if that is meant, run: python tests/unit/architecture/public_names.py"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    missing = [name for name in declared(package) if not hasattr(module, name)]
    assert missing == []


def test_importing_the_packages_imports_nothing_heavy() -> None:
    program = f"import sys, {', '.join(PACKAGES)}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=True
    )
    assert answer.stdout.split() == []
