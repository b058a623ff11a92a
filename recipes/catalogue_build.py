"""Building the symbol catalogue, and the sample of it that lies in the repository, from npm packages."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.catalogue_schema import CatalogueEntity, CatalogueIndex, Source
from recipes.cldr import Annotation, available_locales, bare, read_annotations
from recipes.emoji_sources import EmojiForm, gender, picture_finder, read_forms
from recipes.errors import UnknownChoiceError
from recipes.leak_groups import LeakGroups, leak_groups, split_bucket
from recipes.nearest import nearest_hint
from recipes.npm_packages import VENDORS, check_packages, install_packages, packages_for
from recipes.remote_files import RemoteFolder
from recipes.rendering import render
from recipes.shards import write_catalogue

SAMPLE_FOLDER = Path(__file__).parent / "catalogue_sample"
SAMPLE_VENDORS = ("noto", "twemoji")
SAMPLE_LOCALES = tuple("en de fr es pt it nl pl ru tr ar hi th ja ko zh".split())
SAMPLE_ENTITIES = 1000
_SAMPLE_COMPRESSION_LEVEL = 19
_GROUPING_LOCALE = "en"

Progress = Callable[[str, int, int], None]
"""Called with the stage, how many of its units are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What was built, where, and how long it took."""

    url: str
    index: CatalogueIndex
    size_bytes: int
    seconds: float

    @property
    def complete_locales(self) -> int:
        """Locales with at least 3,000 names."""
        return sum(names >= 3000 for names in self.index.locales.values())


@dataclass(frozen=True)
class _Material:
    """Everything read from the packages: entities, what each locale calls them, their pictures and leak groups."""

    forms: Sequence[EmojiForm]
    annotations: Mapping[str, Mapping[str, Annotation]]
    pictures: Mapping[str, Mapping[int, bytes]]
    groups: LeakGroups

    def entities(self, indices: Sequence[int], locales: Sequence[str]) -> Iterator[CatalogueEntity]:
        for index in indices:
            form, group = self.forms[index], self.groups.names[index]
            char = bare(form.char)
            texts = {locale: self.annotations[locale][char] for locale in locales if char in self.annotations[locale]}
            yield CatalogueEntity(
                code=form.code,
                base=form.base,
                group=group,
                char=form.char,
                category=form.category,
                subcategory=form.subcategory,
                skin_tone=form.skin_tone,
                gender=gender(form, self.english_name(index)),
                is_flag=form.is_flag,
                added_in=form.added_in,
                split_bucket=split_bucket(group),
                names={locale: text.name for locale, text in texts.items()},
                keywords={locale: text.keywords for locale, text in texts.items() if text.keywords},
                pictures={vendor: images[index] for vendor, images in self.pictures.items() if index in images},
            )

    def english_name(self, index: int) -> str:
        annotation = self.annotations[_GROUPING_LOCALE].get(bare(self.forms[index].char))
        return annotation.name if annotation else self.forms[index].short_name


def build_catalogue(
    out: str,
    *,
    packages_folder: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    vendors: Sequence[str] = VENDORS,
    locales: Sequence[str] | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BuildReport:
    """Build the catalogue of all entities at `out`, a folder or fsspec URL. Blocking, a minute or two of one core.

    `packages_folder` has the packages below its `node_modules`; None fetches them with npm into the user's cache
    (200 MB, once). `locales` None means every locale there is. The same packages, vendors and locales always give
    the same fingerprint. Raises PackagesError, RenderError, UnreachableError, UnknownChoiceError.
    """
    started_s = time.monotonic()
    folder = RemoteFolder(out, storage_options)
    material = _read_material(packages_folder, vendors, locales, progress)
    total = len(material.forms)
    index = write_catalogue(
        folder,
        material.entities(range(total), list(material.annotations) if locales is None else locales),
        _sources(vendors),
        progress=lambda done: progress("write shards", done, total),
    )
    return _report(folder.url, index, started_s)


def build_sample(
    out: str = str(SAMPLE_FOLDER),
    *,
    packages_folder: str | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BuildReport:
    """Build the repository's sample: some base entities that are no flags, in two vendors and sixteen locales.

    Which ones: every k-th of those that have both pictures and all sixteen names. With the pinned versions of the
    libraries the files come out as they are in the repository, byte for byte. Raises as build_catalogue.
    """
    started_s = time.monotonic()
    folder = RemoteFolder(out)
    material = _read_material(packages_folder, SAMPLE_VENDORS, SAMPLE_LOCALES, progress)
    candidates = [index for index in range(len(material.forms)) if _fits_sample(material, index)]
    picked = [candidates[i * len(candidates) // SAMPLE_ENTITIES] for i in range(SAMPLE_ENTITIES)]
    index = write_catalogue(
        folder,
        material.entities(picked, SAMPLE_LOCALES),
        _sources(SAMPLE_VENDORS),
        compression_level=_SAMPLE_COMPRESSION_LEVEL,
    )
    return _report(folder.url, index, started_s)


def _fits_sample(material: _Material, index: int) -> bool:
    form = material.forms[index]
    named = all(bare(form.char) in material.annotations[locale] for locale in SAMPLE_LOCALES)
    drawn = all(index in material.pictures[vendor] for vendor in SAMPLE_VENDORS)
    return form.code == form.base and not form.is_flag and named and drawn


def _read_material(
    packages_folder: str | None, vendors: Sequence[str], locales: Sequence[str] | None, progress: Progress
) -> _Material:
    _check_choice("vendor", vendors, VENDORS)
    modules = _modules(packages_folder, vendors, progress)
    known = available_locales(modules)
    chosen = known if locales is None else tuple(locales)
    _check_choice("locale", chosen, known)
    forms = read_forms(modules)
    chars = frozenset(bare(form.char) for form in forms)
    annotations = {}
    for done, locale in enumerate(dict.fromkeys((*chosen, _GROUPING_LOCALE)), start=1):
        annotations[locale] = read_annotations(modules, locale, chars)
        progress("read names", done, len(chosen))
    pictures = {vendor: _render_all(modules, vendor, forms, progress) for vendor in vendors}
    material = _Material(forms, annotations, pictures, LeakGroups(()))
    english = [material.english_name(index) for index in range(len(forms))]
    return _Material(forms, annotations, pictures, leak_groups(forms, english, pictures.values()))


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


def _sources(vendors: Sequence[str]) -> list[Source]:
    return [Source(p.name, p.version, p.provides, p.licence, p.home) for p in packages_for(vendors)]


def _report(url: str, index: CatalogueIndex, started_s: float) -> BuildReport:
    size_bytes = sum(shard.size_bytes for shard in index.shards)
    return BuildReport(url=url, index=index, size_bytes=size_bytes, seconds=time.monotonic() - started_s)
