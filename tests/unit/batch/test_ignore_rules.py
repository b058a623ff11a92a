import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from batch.ignore_rules import IgnoreRules

GIT = shutil.which("git")


@pytest.mark.parametrize(
    ("rules", "path", "is_folder", "ignored"),
    [
        (["*.pt"], "a/b.pt", False, True),
        (["/*.pt"], "a/b.pt", False, False),
        (["data"], "x/data", True, True),
        (["data/"], "data", False, False),
        (["a/data"], "x/a/data", True, False),
        (["**/a/data"], "x/a/data", True, True),
        (["a/**/z"], "a/z", False, True),
        (["a/**/z"], "a/b/c/z", False, True),
        (["a/**"], "a/b/c", False, True),
        (["a/**"], "a", True, False),
        (["file[0-2].py"], "file1.py", False, True),
        (["file[!0-2].py"], "file1.py", False, False),
        (["?.py"], "ab.py", False, False),
        (["*", "!keep"], "keep", False, False),
        (["# no", "", "\\#yes"], "#yes", False, True),
        (["\\!yes"], "!yes", False, True),
        (["trailing   "], "trailing", False, True),
        (["a.b"], "axb", False, False),
    ],
)
def test_gitignore_grammar(rules: list[str], path: str, is_folder: bool, ignored: bool) -> None:
    assert IgnoreRules(rules).ignores(path, is_folder=is_folder) is ignored


RULES = st.lists(
    st.text("ab*?/!", min_size=1, max_size=6).filter(lambda text: text.strip("/!") != "" and "***" not in text),
    min_size=1,
    max_size=4,
)
PATHS = ["a", "b", "ab", "ba", "aab"]


@pytest.mark.skipif(GIT is None, reason="compares with git")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(rules=["?**/?"])
@example(rules=["**b"])
@given(rules=RULES)
def test_top_level_files_are_ignored_as_git_does(tmp_path: Path, rules: list[str]) -> None:
    assert GIT is not None
    if not (tmp_path / ".git").exists():
        subprocess.run([GIT, "init", "-q", str(tmp_path)], check=True)
        for name in PATHS:
            (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("\n".join(rules) + "\n")
    shown = subprocess.run(
        [GIT, "-C", str(tmp_path), "check-ignore", "--no-index", *PATHS], capture_output=True, text=True, check=False
    )
    ours = IgnoreRules(rules)
    assert [name for name in PATHS if ours.ignores(name, is_folder=False)] == shown.stdout.split()
