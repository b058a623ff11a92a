"""Finds the benchmarks: modules of this package with a `BENCH` object. Only the one that runs is imported.

A benchmark is called as its file, less an ending `_bench`, which keeps it from being named like a module of the
standard library.
"""

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

from scripts.benchmarks.contest import Bench, Suite

ENDING = "_bench"


def titles(folder: Path) -> dict[str, str]:
    """Return the first docstring line of each benchmark in the folder, by name."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text())
        if any(_assigns_bench(node) for node in tree.body):
            found[path.stem.removesuffix(ENDING)] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def load(name: str) -> Bench | Suite:
    """Import a benchmark of this package. Raises TypeError when its BENCH is neither a Bench nor a Suite."""
    module = name if find_spec(f"{__package__}.{name}") else name + ENDING
    bench = importlib.import_module(f"{__package__}.{module}").BENCH
    if not isinstance(bench, Bench | Suite):
        raise TypeError(f"{__package__}.{module}.BENCH is a {type(bench).__name__}: must be a Bench or a Suite")
    return bench


def _assigns_bench(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "BENCH" for target in targets)
