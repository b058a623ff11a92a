"""The public names of the package, and that importing it is cheap."""

import subprocess
import sys

import recipes

PUBLIC = [
    "Batch", "Forward", "MicroLoss", "Recipe", "RecipeError", "TrainData", "build_model", "build_recipe",
    "parameter_count",
]  # fmt: skip


def test_surface() -> None:
    assert recipes.__all__ == PUBLIC
    assert all(getattr(recipes, name) is not None for name in PUBLIC)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import recipes, recipes.config, recipes.errors, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=240).returncode == 0
