"""What the documents name exists: linked files, functions, commands; and every decision is numbered once."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from fixtures_sources import REPOSITORY

from scripts.cli.app import app

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
NAMED_CODE = re.compile(r"`([\w/]+\.py)` `([\w.]+)`")
"""A file of ours and what to look for in it, as in docs/path.md."""
COMMAND = re.compile(r"`(?:\.venv/bin/)?ostinato ([^`\n]+)`|^ *\$? ?(?:\.venv/bin/)?ostinato (.+)$", re.MULTILINE)
"""A call in a code span, or on a line of its own in a code block."""
WRITTEN_EVENT = re.compile(r"events\.write\(\s*\"(\w+)\"")
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_named_commands_exist(document: Path) -> None:
    text = document.read_text().replace("\\\n", " ").replace("\\|", "|")
    lines = [match[1] or match[2] for match in COMMAND.finditer(text)]
    assert [problem for line in lines for problem in unknown_words(line)] == []
    if document.name == "README.md":
        assert len(lines) > 10


def unknown_words(line: str) -> list[str]:
    """Return what `ostinato <line>` names that the command line does not have: a command, or an option of it."""
    command: Any = typer.main.get_command(app)
    words = line.partition("#")[0].partition(" -- ")[0].split()  # what follows `--` is somebody else's
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return [f"{line}: no command {name!r}"]
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    given = [word.strip("[]") for word in words if word.strip("[").startswith("-")]
    return [f"{line}: no option {word}" for word in given if word not in options | {"--help"}]


def test_every_event_is_described() -> None:
    written = {
        name for path in (REPOSITORY / "trainer").glob("*.py") for name in WRITTEN_EVENT.findall(path.read_text())
    }
    described = set(re.findall(r"`(\w+)`", (REPOSITORY / "docs/trainer.md").read_text()))
    assert len(written) > 10
    assert written - described == set()
