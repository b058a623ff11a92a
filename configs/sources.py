"""Which file a value comes from: the search path, its groups and options, and the files that were composed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.documents import flatten

OUR_FOLDER = Path(__file__).resolve().parent
COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The folders that hold YAML groups, in the order in which they are searched: the user's, then ours."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, config_dirs: Sequence[Path]) -> "SearchPath":
        """Return the search path with the user's folders first."""
        return cls((*(folder.expanduser().resolve() for folder in config_dirs), OUR_FOLDER))

    def groups(self) -> set[str]:
        """Return the names of the groups: the folders with YAML files in them."""
        return {path.parent.name for folder in self.folders for path in folder.glob("*/*.yaml")}

    def options(self, group: str) -> list[str]:
        """Return the options of a group, which may be nested (`a/b`), sorted."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def find(self, config_path: str) -> Path | None:
        """Return the file of `group/option` or of the root, the first on the path; None if there is none."""
        name = config_path.removesuffix(".yaml") + ".yaml"
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each value was given, by dotted path; later entries were composed over earlier ones."""

    by_path: Mapping[str, str]

    def of(self, path: str) -> str | None:
        """Return the file, or the command line, that gave `path`, something in it, or the nearest section around it."""
        below = [source for known, source in self.by_path.items() if known.startswith(f"{path}.")]
        if path not in self.by_path and below:
            return below[-1]
        while path:
            if path in self.by_path:
                return self.by_path[path]
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return None


def trace(files: Iterable[tuple[Path, str, Any]], overridden: Iterable[str]) -> Sources:
    """Return where values come from: `files` as (file, package, content) in the order composed, then the overrides."""
    by_path: dict[str, str] = {}
    for file, package, content in files:
        if isinstance(content, Mapping):
            body = {key: value for key, value in content.items() if key != "defaults"}
            by_path.update((path, show_path(file)) for path, _ in flatten(body, f"{package}." if package else ""))
        else:
            by_path[package] = show_path(file)
    for path in overridden:
        _forget_around(by_path, path)
        by_path[path] = COMMAND_LINE
    return Sources(by_path)


def show_path(file: Path) -> str:
    """Return how a person would name `file`: ours from the repository, others from the working folder if below."""
    for root in (OUR_FOLDER.parent, Path.cwd()):
        if file.is_relative_to(root):
            return file.relative_to(root).as_posix()
    return str(file)


def _forget_around(by_path: dict[str, str], path: str) -> None:
    """An override replaces what files say of the keys below it, and of a leaf that it makes a section."""
    for known in [known for known in by_path if known.startswith(f"{path}.") or path.startswith(f"{known}.")]:
        del by_path[known]
