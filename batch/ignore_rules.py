"""Which files of a working folder do not travel: rules as in .gitignore. Pure.

The grammar of gitignore(5): one pattern a line; `#` comments; `!` takes back; a slash at the end means folders only; a
slash elsewhere ties the pattern to the folder, otherwise it holds at any depth; `*`, `?`, `[...]` stay within a name
and `**` crosses folders. The last rule that fits decides, and below an ignored folder nothing is looked at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_RULES = (
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    "*.pyc",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".ipynb_checkpoints",
    "node_modules",
    ".DS_Store",
    "/runs",
    "/outputs",
    "/multirun",
    # Often full of secrets: jobs name theirs by reference.
    ".env",
    ".netrc",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern. `takes_back`: what fits is not ignored after all."""

    pattern: re.Pattern[str]
    only_folders: bool
    takes_back: bool


class IgnoreRules:
    """Rules in order, the last that fits decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _parse(line)) is not None]

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Return whether `path`, relative to the working folder with slashes, does not travel."""
        for rule in reversed(self._rules):
            if (is_folder or not rule.only_folders) and rule.pattern.fullmatch(path):
                return not rule.takes_back
        return False


def _parse(line: str) -> Rule | None:
    text = line.rstrip("\n")
    if not text.endswith("\\ "):
        text = text.rstrip()
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    text = text.removeprefix("!").removeprefix("\\") if takes_back or text.startswith("\\") else text
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    expression = _expression(text.removeprefix("/"))
    return Rule(re.compile(expression if anchored else f"(?:.*/)?{expression}", re.DOTALL), only_folders, takes_back)


def _expression(glob: str) -> str:
    """Return the regular expression of a pattern without its marks."""
    parts, at = [], 0
    while at < len(glob):
        rest = glob[at:]
        begins = at == 0 or glob[at - 1] == "/"  # elsewhere two asterisks are two single ones
        if begins and rest.startswith("**/"):
            parts.append("(?:.*/)?")
            at += 3
        elif begins and rest == "**":
            parts.append(".*")
            at += 2
        elif (found := _CLASS.match(rest)) is not None:
            inner = found.group(2).replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{'^/' if found.group(1) else ''}{inner}]")
            at += found.end()
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(glob[at], re.escape(glob[at])))
            at += 1
    return "".join(parts)


_CLASS = re.compile(r"\[([!^]?)(\]?[^\]/]+)\]")
