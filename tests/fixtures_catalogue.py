"""A small stand-in for the npm packages of the symbol catalogue, laid out as they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from recipes.catalogue_schema import CatalogueEntity
from recipes.npm_packages import PACKAGES
from recipes.rendering import IMAGE_BYTES

TONES = ("1F3FB", "1F3FF")
LOCALES = ("de", "en", "ja")
NUM_SHAPES = 24
NUM_FLAGS = 3
FIRST_SHAPE = 0x1F600

PEOPLE = (
    ("1F46E", "police officer", "PEOPLE", TONES),
    ("1F46E-200D-2640-FE0F", "woman police officer", "PEOPLE", TONES),
    ("1F46E-200D-2642-FE0F", "man police officer", "PEOPLE", ()),
)
NUM_BASE = NUM_SHAPES + NUM_FLAGS + len(PEOPLE)
NUM_ENTITIES = NUM_BASE + 2 * len(TONES)
WITHOUT_FLUENT = f"{FIRST_SHAPE + 5:X}"
WITHOUT_GERMAN = f"{FIRST_SHAPE + 6:X}"
TWIN_FLAGS = ("1F1E6-1F1E7", "1F1E6-1F1E8")
"""Two flags with one and the same picture."""


def write_packages(folder: Path) -> Path:
    """Write the stand-in below `folder`/node_modules and return `folder`."""
    modules = folder / "node_modules"
    for package in PACKAGES:
        _write_json(modules / package.name / "package.json", {"name": package.name, "version": package.version})
    entries = [*_shapes(), *_flags(), *_people()]
    _write_json(modules / "emoji-datasource-google" / "emoji.json", entries)
    for number, (code, short_name) in enumerate(_all_codes(entries)):
        _write_pictures(modules, code, 0 if code in TWIN_FLAGS else number + 1)
        _add_texts(modules, code, short_name)
    return folder


def _shapes() -> list[dict[str, Any]]:
    return [
        _entry(f"{FIRST_SHAPE + number:X}", f"shape {number}", "Objects", f"kind {number % 3}", number)
        for number in range(NUM_SHAPES)
    ]


def _flags() -> list[dict[str, Any]]:
    codes = (*TWIN_FLAGS, "1F1E6-1F1E9")
    return [_entry(code, f"flag {code[-1]}", "Flags", "country-flag", 100 + n) for n, code in enumerate(codes)]


def _people() -> list[dict[str, Any]]:
    return [
        _entry(code, name, "People & Body", "person-role", 200 + number, tones)
        for number, (code, name, _, tones) in enumerate(PEOPLE)
    ]


def _entry(
    code: str, name: str, category: str, subcategory: str, order: int, tones: tuple[str, ...] = ()
) -> dict[str, Any]:
    first, *rest = code.split("-")
    variations = {tone: _form("-".join((first, tone, *rest))) for tone in tones}
    facts = {"short_name": name, "category": category, "subcategory": subcategory, "sort_order": order}
    return {**_form(code), **facts, **({"skin_variations": variations} if variations else {})}


def _form(code: str) -> dict[str, str]:
    return {"unified": code, "image": f"{code.lower()}.png", "added_in": "1.0"}


def _all_codes(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    codes = []
    for entry in entries:
        codes.append((entry["unified"], entry["short_name"]))
        codes += [
            (form["unified"], f"{entry['short_name']}: {tone}")
            for tone, form in entry.get("skin_variations", {}).items()
        ]
    return codes


def _write_pictures(modules: Path, code: str, number: int) -> None:
    for vendor, (folder, suffix, size_px) in {
        "google": ("emoji-datasource-google/img/google/64", "png", 64),
        "twitter": ("emoji-datasource-twitter/img/twitter/64", "png", 64),
        "fluent": ("@lobehub/fluent-emoji-3d/assets", "webp", 96),
    }.items():
        if vendor == "fluent" and code == WITHOUT_FLUENT:
            continue
        picture = Image.new("RGBA", (size_px, size_px))
        corner = 4 + number % 20
        colour = ((number * 37) % 256, (number * 71) % 256, {"google": 40, "twitter": 120, "fluent": 200}[vendor], 255)
        ImageDraw.Draw(picture).ellipse((corner, corner, size_px - 8, size_px - 4), fill=colour)
        path = modules / folder / f"{code.lower()}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, lossless=True) if suffix == "webp" else picture.save(path)


def _add_texts(modules: Path, code: str, name: str) -> None:
    char = "".join(chr(int(point, 16)) for point in code.split("-")).replace("\ufe0f", "")
    derived = "-" in code
    package, key = (
        ("cldr-annotations-derived-full/annotationsDerived", "annotationsDerived")
        if derived
        else ("cldr-annotations-full/annotations", "annotations")
    )
    for locale in LOCALES:
        path = modules / package / locale / "annotations.json"
        content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {key: {"annotations": {}}}
        if not (locale == "de" and code == WITHOUT_GERMAN):
            text = name if locale == "en" else f"{name} auf {locale} ☺"
            content[key]["annotations"][char] = {"tts": [text], "default": _keywords(locale, name)}
        _write_json(path, content)


def _keywords(locale: str, name: str) -> list[str]:
    return [f"{locale} {word}" for word in name.replace(":", "").split()] if locale != "ja" else []


def _write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def one_entity(
    code: str = "A",
    *,
    name: str = "hill",
    locale: str = "en",
    vendor: str = "u",
    pixel: int = 0,
    keywords: tuple[str, ...] = ("ab",),
) -> CatalogueEntity:
    """An entity for a catalogue that needs no packages."""
    return CatalogueEntity(
        code=code,
        base=code,
        group=code,
        char=code,
        category="c",
        subcategory="s",
        skin_tone="",
        gender="",
        is_flag=False,
        added_in="1",
        split_bucket=0,
        names={locale: name},
        keywords={locale: keywords},
        pictures={vendor: bytes([pixel]) * IMAGE_BYTES},
    )
