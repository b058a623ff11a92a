"""The entities of the symbol catalogue, and where each vendor's picture of them lies, from the emoji packages."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.errors import PackagesError

ENTITY_LIST = "emoji-datasource-google/emoji.json"
SKIN_TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}
"""Code point of a skin tone modifier → the name that the catalogue gives it."""
FEMALE_SIGN, MALE_SIGN = "2640", "2642"
WOMAN_WORDS, MAN_WORDS = frozenset({"woman", "women", "girl"}), frozenset({"man", "men", "boy"})


@dataclass(frozen=True, slots=True)
class EmojiForm:
    """One entity: a base emoji, or one of its skin tones.

    `code` is the sequence of code points in hexadecimal, joined by `-`; `base` is the code of the form without a skin
    tone (itself, if it is that form); `obsoletes` that of an older form of the concept. `short_name` is English.
    """

    code: str
    base: str
    short_name: str
    category: str
    subcategory: str
    skin_tone: str
    added_in: str
    image: str
    obsoletes: str | None

    @property
    def char(self) -> str:
        """The characters themselves."""
        return "".join(chr(int(point, 16)) for point in self.code.split("-"))

    @property
    def is_flag(self) -> bool:
        """Whether this is a flag: its name is not in its picture."""
        return self.category == "Flags"


def read_forms(modules: Path) -> list[EmojiForm]:
    """Return all entities in Unicode's order, each base followed by its skin tones."""
    path = modules / ENTITY_LIST
    try:
        entries: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [form for entry in sorted(entries, key=_order) for form in _forms(entry)]
    except (OSError, ValueError, KeyError) as error:
        raise PackagesError(f"{path}: not the list of entities ({error!r}); fetch the package again") from None


def _order(entry: Mapping[str, Any]) -> tuple[int, str]:
    return entry["sort_order"], entry["unified"]


def _forms(entry: Mapping[str, Any]) -> Iterator[EmojiForm]:
    variations: Mapping[str, Mapping[str, Any]] = entry.get("skin_variations", {})
    for tones, form in (("", entry), *variations.items()):
        yield EmojiForm(
            code=form["unified"],
            base=entry["unified"],
            short_name=entry["short_name"],
            category=entry["category"],
            subcategory=entry["subcategory"],
            skin_tone="+".join(SKIN_TONES[tone] for tone in tones.split("-")) if tones else "",
            added_in=form["added_in"],
            image=form["image"],
            obsoletes=entry.get("obsoletes"),
        )


def gender(form: EmojiForm, english_name: str) -> str:
    """Return `woman`, `man`, or the empty string for neither or both."""
    points = set(form.code.split("-"))
    words = set(english_name.replace(":", " ").replace(",", " ").split())
    woman = FEMALE_SIGN in points or bool(words & WOMAN_WORDS)
    man = MALE_SIGN in points or bool(words & MAN_WORDS)
    if form.category != "People & Body" or woman == man:
        return ""
    return "woman" if woman else "man"


def picture_finder(modules: Path, vendor: str) -> Callable[[EmojiForm], Path | None]:
    """Return a function from an entity to the vendor's picture of it, None where the vendor has none."""
    folder, names = _VENDOR_PICTURES[vendor]
    try:
        present = {path.name for path in (modules / folder).iterdir()}
    except OSError as error:
        raise PackagesError(f"{modules / folder}: cannot list the pictures of {vendor} ({error})") from None

    def find(form: EmojiForm) -> Path | None:
        return next((modules / folder / name for name in names(form) if name in present), None)

    return find


def _datasource_names(form: EmojiForm) -> Sequence[str]:
    return (form.image,)


def _fluent_names(form: EmojiForm) -> Sequence[str]:
    code = form.code.lower()
    return f"{code}.webp", f"{code.replace('-fe0f', '')}.webp"


_VENDOR_PICTURES: Mapping[str, tuple[str, Callable[[EmojiForm], Sequence[str]]]] = {
    "noto": ("emoji-datasource-google/img/google/64", _datasource_names),
    "twemoji": ("emoji-datasource-twitter/img/twitter/64", _datasource_names),
    "fluent3d": ("@lobehub/fluent-emoji-3d/assets", _fluent_names),
}
"""Vendor → folder below node_modules, and the file names under which an entity may lie there."""
