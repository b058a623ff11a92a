"""Links between the documents lead somewhere, and every decision is numbered once."""

import re
from pathlib import Path

import pytest
from fixtures_sources import REPOSITORY

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
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
