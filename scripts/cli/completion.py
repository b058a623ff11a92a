"""What the shell offers at TAB: runs, groups, options and keys. Answers in a blink: imports nothing heavy."""

import os
from collections.abc import Iterator
from pathlib import Path


def complete_runs(incomplete: str) -> list[str]:
    """Return the names of the runs in the folder that commands look into by default."""
    from trainer.run_folder import list_runs

    names = [folder.name for folder in list_runs(Path(os.environ.get("OSTINATO_RUNS", "runs")))]
    return [name for name in names if name.startswith(incomplete)]


def complete_overrides(incomplete: str) -> list[str]:
    """Return `group=option` for the groups, and `section.key=` for the keys."""
    return [word for word in _overrides(incomplete) if word.startswith(incomplete)]


def _overrides(incomplete: str) -> Iterator[str]:
    from configs.allowed import literal_choices
    from configs.hints import field_at, known_paths
    from configs.schema import RunSpec
    from configs.sources import SearchPath

    search = SearchPath.of(())
    key, equals, _ = incomplete.partition("=")
    if not equals:
        yield from (f"{group}=" for group in sorted(search.groups()))
        yield from (f"{path}=" for path in dict.fromkeys(known_paths(RunSpec)) if "." in path)
    elif key in search.groups():
        yield from (f"{key}={option}" for option in search.options(key))
    else:
        field = field_at(RunSpec, key)
        yield from (f"{key}={choice}" for choice in (literal_choices(field.hint) if field else ()))
