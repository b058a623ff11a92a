"""What each package's `__all__` says, read from the source.

Run it to accept a changed surface: `python tests/unit/architecture/public_names.py` rewrites public_names.json.
"""

import ast
import json
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PACKAGES = ("configs", "checkpoint", "recipes", "trainer", "batch", "planner")
STORED = Path(__file__).with_suffix(".json")


def declared(package: str) -> list[str]:
    """Return the names in the package's `__all__`, sorted; none when it has no such list."""
    tree = ast.parse((REPOSITORY / package / "__init__.py").read_text())
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return sorted(ast.literal_eval(node.value))  # type: ignore[attr-defined]  # both kinds of node have one
    return []


if __name__ == "__main__":
    STORED.write_text(json.dumps({package: declared(package) for package in PACKAGES}, indent=2) + "\n")
