"""Everything that the npm packages say about the entities of the symbol catalogue, brought together."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.catalogue_schema import CatalogueEntity
from recipes.cldr import Annotation, available_locales, bare, read_annotations
from recipes.emoji_sources import EmojiForm, gender, picture_finder, read_forms
from recipes.errors import UnknownChoiceError
from recipes.leak_groups import leak_groups, split_bucket
from recipes.nearest import nearest_hint
from recipes.npm_packages import VENDORS, check_packages, install_packages, packages_for
from recipes.rendering import render

Progress = Callable[[str, int, int], None]
"""Called with the stage, how many of its units are done, and how many there are."""

_GROUPING_LOCALE = "en"


@dataclass(frozen=True)
class Material:
    """Entities, their English names and leak groups, the chosen locales' texts, and pictures by vendor and entity."""

    forms: Sequence[EmojiForm]
    english_names: Sequence[str]
    groups: Sequence[str]
    texts: Mapping[str, Mapping[str, Annotation]]
    pictures: Mapping[str, Mapping[int, bytes]]

    def is_complete(self, index: int) -> bool:
        """Whether every chosen locale names this entity and every chosen vendor draws it."""
        char = bare(self.forms[index].char)
        named = all(char in annotations for annotations in self.texts.values())
        return named and all(index in pictures for pictures in self.pictures.values())

    def entities(self, indices: Iterable[int]) -> Iterator[CatalogueEntity]:
        """Yield the entities with these numbers, as the catalogue keeps them."""
        for index in indices:
            form, group = self.forms[index], self.groups[index]
            char = bare(form.char)
            texts = {locale: annotations[char] for locale, annotations in self.texts.items() if char in annotations}
            yield CatalogueEntity(
                code=form.code,
                base=form.base,
                group=group,
                char=form.char,
                category=form.category,
                subcategory=form.subcategory,
                skin_tone=form.skin_tone,
                gender=gender(form, self.english_names[index]),
                is_flag=form.is_flag,
                added_in=form.added_in,
                split_bucket=split_bucket(group),
                names={locale: text.name for locale, text in texts.items()},
                keywords={locale: text.keywords for locale, text in texts.items() if text.keywords},
                pictures={vendor: images[index] for vendor, images in self.pictures.items() if index in images},
            )


def read_material(
    packages_folder: str | None, vendors: Sequence[str], locales: Sequence[str] | None, progress: Progress
) -> Material:
    """Read the packages, fetching them first if `packages_folder` is None. Blocking.

    Raises PackagesError, RenderError, UnknownChoiceError.
    """
    _check_choice("vendor", vendors, VENDORS)
    modules = _modules(packages_folder, vendors, progress)
    known = available_locales(modules)
    chosen = known if locales is None else tuple(locales)
    _check_choice("locale", chosen, known)
    forms = read_forms(modules)
    chars = frozenset(bare(form.char) for form in forms)
    english = read_annotations(modules, _GROUPING_LOCALE, chars)
    english_names = [_name(english, form) for form in forms]
    texts = {}
    for done, locale in enumerate(chosen, start=1):
        texts[locale] = read_annotations(modules, locale, chars)
        progress("read names", done, len(chosen))
    pictures = {vendor: _render_all(modules, vendor, forms, progress) for vendor in vendors}
    groups = leak_groups(forms, english_names, pictures.values())
    return Material(forms, english_names, groups, texts, pictures)


def _name(annotations: Mapping[str, Annotation], form: EmojiForm) -> str:
    annotation = annotations.get(bare(form.char))
    return annotation.name if annotation else form.short_name


def _modules(packages_folder: str | None, vendors: Sequence[str], progress: Progress) -> Path:
    packages = packages_for(vendors)
    if packages_folder is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "npm"
        return install_packages(cache, packages, progress=lambda line: progress(line, 0, 1))
    modules = Path(packages_folder) / "node_modules"
    check_packages(modules, packages)
    return modules


def _render_all(modules: Path, vendor: str, forms: Sequence[EmojiForm], progress: Progress) -> dict[int, bytes]:
    find = picture_finder(modules, vendor)
    pictures = {}
    for index, form in enumerate(forms):
        path = find(form)
        if path is not None:
            pictures[index] = render(path)
        progress(f"render {vendor}", index + 1, len(forms))
    return pictures


def _check_choice(kind: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    for name in chosen:
        if name not in known:
            raise UnknownChoiceError(f"{kind} {name!r} is not in the packages{nearest_hint(name, known)}")
