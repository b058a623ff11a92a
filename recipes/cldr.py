"""Names and keywords of characters in many locales, from Unicode's CLDR annotation packages.

A locale's folder holds what that locale itself says; es-MX, for instance, has only what differs from es-419. Nothing
is inherited here: what a catalogue calls es-MX is es-MX's own text.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.errors import PackagesError

FOLDERS = (
    ("cldr-annotations-full/annotations", "annotations"),
    ("cldr-annotations-derived-full/annotationsDerived", "annotationsDerived"),
)
"""Folder below node_modules, and the key at the top of each of its files."""
PRESENTATION_SELECTOR = "\N{VARIATION SELECTOR-16}"


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one locale calls one character: its short name, and keywords."""

    name: str
    keywords: tuple[str, ...]


def bare(char: str) -> str:
    """Return `char` without presentation selectors, the form in which annotations are looked up."""
    return char.replace(PRESENTATION_SELECTOR, "")


def available_locales(modules: Path) -> tuple[str, ...]:
    """Return the locales that the packages under `modules` have, in the order of their names."""
    folder = modules / FOLDERS[0][0]
    try:
        return tuple(sorted(path.name for path in folder.iterdir() if (path / "annotations.json").exists()))
    except OSError as error:
        raise PackagesError(f"{folder}: cannot list the locales ({error}); is cldr-annotations-full there?") from None


def read_annotations(modules: Path, locale: str, chars: Collection[str]) -> dict[str, Annotation]:
    """Return the annotations of one locale for those of `chars` (bare) that it has a name for."""
    found: dict[str, Annotation] = {}
    for folder, key in FOLDERS:
        path = modules / folder / locale / "annotations.json"
        if not path.exists():
            continue
        for char, entry in _read(path, key).items():
            names = entry.get("tts")
            if bare(char) in chars and names:
                found[bare(char)] = Annotation(names[0], tuple(dict.fromkeys(entry.get("default", ()))))
    return found


def _read(path: Path, key: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        annotations: Mapping[str, Any] = content[key].get("annotations", {})
    except (OSError, ValueError, KeyError) as error:
        raise PackagesError(f"{path}: not a CLDR annotation file ({error!r}); fetch the package again") from None
    return annotations
