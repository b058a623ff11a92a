"""What the documents name exists: linked files, functions, commands; and every decision is numbered once."""

import ast
import re
from pathlib import Path

import pytest
from fixtures_sources import REPOSITORY

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
NAMED_CODE = re.compile(r"`([\w/]+\.py)` `([\w.]+)`")
"""A file of ours and what to look for in it, as in docs/path.md."""
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    missing = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert missing == []


def test_decisions_are_numbered_in_order() -> None:
    names = sorted(path.name for path in (REPOSITORY / "docs/decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for number, name in enumerate(names, start=1):
        title = (REPOSITORY / "docs/decisions" / name).read_text().partition("\n")[0]
        assert title.startswith(f"# {number}. ")


def defined_names(source: Path) -> set[str]:
    tree = ast.parse(source.read_text())
    annotated = [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    names = {target.id for target in annotated if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{member.name}" for member in node.body if isinstance(member, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_named_code_exists(document: Path) -> None:
    named = NAMED_CODE.findall(document.read_text())
    missing = [(path, name) for path, name in named if name not in defined_names(REPOSITORY / path)]
    assert missing == []
    if document.name == "path.md":
        assert len(named) > 20
