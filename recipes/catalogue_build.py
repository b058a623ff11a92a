"""Building the symbol catalogue, and the sample of it that lies in the repository, from npm packages."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipes.catalogue_material import Material, Progress, read_material
from recipes.catalogue_report import CatalogueDescription, describe
from recipes.catalogue_schema import Source
from recipes.npm_packages import VENDORS, packages_for
from recipes.records import SAMPLE_URL
from recipes.remote_files import RemoteFolder
from recipes.shards import write_catalogue

SAMPLE_VENDORS = ("noto", "twemoji")
SAMPLE_LOCALES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "ar", "hi", "th", "ja", "ko", "zh")
SAMPLE_ENTITIES = 1000
_SAMPLE_COMPRESSION_LEVEL = 19


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What was built, and how long that took."""

    catalogue: CatalogueDescription
    seconds: float


def build_catalogue(
    out: str,
    *,
    packages_folder: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    vendors: Sequence[str] = VENDORS,
    locales: Sequence[str] | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BuildReport:
    """Build the catalogue of all entities at `out`, a folder or fsspec URL. Blocking, half a minute of one core.

    `packages_folder` has the packages below its `node_modules`; None fetches them with npm into the user's cache
    (330 MB on the disk, once). `locales` None means every locale there is. The same packages, vendors and locales
    always give the same fingerprint. Raises PackagesError, RenderError, UnreachableError, UnknownChoiceError.
    """
    started_s = time.monotonic()
    folder = RemoteFolder(out, storage_options)
    material = read_material(packages_folder, vendors, locales, progress)
    total = len(material.forms)
    index = write_catalogue(
        folder,
        material.entities(range(total)),
        _sources(vendors),
        progress=lambda done: progress("write shards", done, total),
    )
    return BuildReport(catalogue=describe(folder.url, index), seconds=time.monotonic() - started_s)


def build_sample(
    out: str = SAMPLE_URL,
    *,
    packages_folder: str | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> BuildReport:
    """Build the repository's sample: a thousand base entities, no flags, in two vendors and sixteen locales.

    Evenly spaced among those that have both pictures and all sixteen names. With the pinned versions of the
    libraries the files come out as they are in the repository, byte for byte. Raises as build_catalogue.
    """
    started_s = time.monotonic()
    folder = RemoteFolder(out)
    material = read_material(packages_folder, SAMPLE_VENDORS, SAMPLE_LOCALES, progress)
    candidates = [index for index in range(len(material.forms)) if _fits_sample(material, index)]
    picked = [candidates[number * len(candidates) // SAMPLE_ENTITIES] for number in range(SAMPLE_ENTITIES)]
    index = write_catalogue(
        folder, material.entities(picked), _sources(SAMPLE_VENDORS), compression_level=_SAMPLE_COMPRESSION_LEVEL
    )
    return BuildReport(catalogue=describe(folder.url, index), seconds=time.monotonic() - started_s)


def _fits_sample(material: Material, index: int) -> bool:
    form = material.forms[index]
    return form.code == form.base and not form.is_flag and material.is_complete(index)


def _sources(vendors: Sequence[str]) -> list[Source]:
    return [Source(p.name, p.version, p.provides, p.licence, p.home) for p in packages_for(vendors)]
